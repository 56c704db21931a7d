-- Where the person was when the grant was made: what a policy is told when its code is redeemed by a server elsewhere.
ALTER TABLE grants ADD COLUMN network TEXT;
