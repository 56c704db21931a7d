// For Debian's nginx (njs): the phantom token flow against an introspection endpoint that answers with a JWT.
function exchange(r) {
  const bearer = /^Bearer +([A-Za-z0-9._~+\/=-]+)$/i.exec(r.headersIn.Authorization || '');
  if (!bearer) {
    r.return(401);
    return;
  }
  r.subrequest('/_introspect', 'token=' + encodeURIComponent(bearer[1]), (reply) => {
    if (reply.status === 200 && /^application\/jwt/.test(reply.headersOut['Content-Type'])) {
      r.headersOut['Phantom-Token'] = reply.responseText;
      r.return(204);
    } else {
      r.return(reply.status === 204 ? 401 : 502);
    }
  });
}

export default { exchange };
