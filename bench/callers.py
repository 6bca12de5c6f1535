#!/usr/bin/env python3
"""Partners and stations of the measurements: processes of their own, so that they can run in any network namespace.

  callers.py banner HOST:PORT                        a station that speaks first; until its standard input ends
  callers.py call HOST:PORT COUNT [SOCKS-HOST:PORT]  times from the connect to the first byte, one call after the other
  callers.py hold EXTERNAL TARGET COUNT BYTES HEX    holds calls, each after HEX and BYTES each way; then sees who lives
"""
import json, select, socket, sys, threading, time

BANNER = b'\x10\x00\x00\x17IODETTE FTP READY \r'
PAUSE_S = 0.02


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def banner(at):
    with socket.create_server(address(at), backlog=1024) as listener:
        def serve():
            while True:
                caller = listener.accept()[0]
                caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                caller.sendall(BANNER)
                threading.Thread(target=until_end, args=(caller,), daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        print('READY', flush=True)
        sys.stdin.read()


def until_end(caller):
    try:
        while caller.recv(4096): pass
    except OSError: pass
    caller.close()


def call(to, count, socks=None):
    """Milliseconds of every call: until it was connected, and until the first byte of the station."""
    connected, first, failed = [], [], 0
    for _ in range(int(count)):
        began = time.perf_counter()
        try:
            with socket.create_connection(address(socks or to), timeout=10) as caller:
                caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connected_at = time.perf_counter()
                if socks: ask(caller, *address(to))
                if not caller.recv(1): raise OSError('closed')
                first.append((time.perf_counter() - began) * 1e3)
                connected.append((connected_at - began) * 1e3)
        except OSError: failed += 1
        time.sleep(PAUSE_S)
    print(json.dumps(dict(connected=connected, first=first, failed=failed)))


def ask(caller, host, port):
    """RFC 1928, without authentication, to an IPv4 address."""
    caller.sendall(b'\x05\x01\x00')
    if caller.recv(2) != b'\x05\x00': raise OSError('SOCKS5 refused')
    caller.sendall(b'\x05\x01\x00\x01' + socket.inet_aton(host) + port.to_bytes(2, 'big'))
    reply = caller.recv(10, socket.MSG_WAITALL)
    if reply[:2] != b'\x05\x00': raise OSError(f'SOCKS5: {reply.hex()}')


def hold(external, target, count, bulk, preamble):
    calls, preamble, bulk = [], bytes.fromhex(preamble), int(bulk)
    with socket.create_server(address(target), backlog=1024) as listener:
        listener.settimeout(20)
        for _ in range(int(count)):
            partner = socket.create_connection(address(external), timeout=20)
            partner.sendall(preamble or b'e')
            station = listener.accept()[0]
            station.settimeout(20)
            station.recv(len(preamble) or 1, socket.MSG_WAITALL)
            station.sendall(b'e')
            partner.recv(1)
            if bulk:
                pour(partner, station, bulk)
                pour(station, partner, bulk)
            calls.append((partner, station))
        print('READY', flush=True)
        sys.stdin.readline()
        alive = sum(lives(*ends) for ends in calls)
        print(json.dumps(dict(opened=len(calls), alive=alive)))


def pour(source, sink, count):
    """Moves so many bytes from one end to the other, in one thread."""
    piece, sent, received = bytes(65536), 0, 0
    room = memoryview(bytearray(262144))
    while received < count:
        readable, writable = ready(source, sink, sent < count)
        if readable: received += sink.recv_into(room, 0)
        if writable: sent += source.send(piece[:count - sent], socket.MSG_DONTWAIT)


def ready(source, sink, has_more):
    """Waits until either can move; with poll, because select knows no descriptors above 1,023."""
    poller = select.poll()
    poller.register(sink, select.POLLIN)
    if has_more: poller.register(source, select.POLLOUT)
    found = {descriptor for descriptor, _ in poller.poll(20_000)}
    if not found: raise OSError('nothing moves')
    return sink.fileno() in found, source.fileno() in found


def lives(partner, station):
    try:
        partner.sendall(b'p')
        return station.recv(1) == b'p'
    except OSError: return False


if __name__ == '__main__':
    command, *arguments = sys.argv[1:]
    dict(banner=banner, call=call, hold=hold)[command](*arguments)
