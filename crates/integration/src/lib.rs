//! API Integration Service.
