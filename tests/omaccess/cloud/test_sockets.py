"""The sockets under the deadline, where a test of the transport cannot be exact enough."""

from __future__ import annotations

import os
import socket
import ssl
import struct

import pytest

from omaccess.cloud.sockets import DeadlineTlsSocket

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def test_a_peer_that_is_gone_before_tls_begins_leaves_no_open_descriptor() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = DeadlineTlsSocket
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        descriptor = client.fileno()
        accepted, _address = server.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        accepted.close()

        with pytest.raises(ConnectionResetError):
            context.wrap_socket(client, server_hostname="bastion.example")

        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
