"""An SMTP sink: takes mails at three ports of 127.0.0.1 and keeps them in one maildir.

    sink.py MAILDIR PORT STARTTLS-PORT SMTPS-PORT CERTIFICATE KEY USER PASSWORD

The first port takes everything as it comes. The second wants STARTTLS and then user and password, the third speaks
TLS from the start and wants them too.
"""

import asyncio
import ssl
import sys

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult

maildir, plain_port, starttls_port, smtps_port, certificate, key, user, password = sys.argv[1:]


def authenticate(server, session, envelope, mechanism, data):
    known = (data.login, data.password) == (user.encode(), password.encode())
    return AuthResult(success=known, handled=False)


loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(certificate, key)
handler = Mailbox(maildir)
asking = {"loop": loop, "auth_required": True, "authenticator": authenticate}


def plain():
    return SMTP(handler, loop=loop)


def starttls():
    return SMTP(handler, tls_context=tls, require_starttls=True, **asking)


def smtps():
    # It does not see that its transport is TLS already.
    return SMTP(handler, auth_require_tls=False, **asking)


# The plain one last: where it answers, the others do.
for make, port, context in [(starttls, starttls_port, None), (smtps, smtps_port, tls), (plain, plain_port, None)]:
    loop.run_until_complete(loop.create_server(make, "127.0.0.1", int(port), ssl=context))
loop.run_forever()
