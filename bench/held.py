#!/usr/bin/env python3
"""What calls cost that only stand there, and what the daemons do when there are none.

  held.py OUT.json [REPEATS]        needs root: it runs in a network namespace of its own

Idle: resident memory and wake-ups of both daemons while nothing happens, beside the heartbeats that were really sent.
Held: CALLS (20,000) calls, each opened, spoken to and then left alone; the resident memory of both daemons for each; and whether
all of them still live afterwards. Each daemon needs two descriptors a call, so that a limit below that (`ulimit -Hn`) spreads
the calls over as many pairs as it takes. "unsealed" has payload that begins as TLS and UNSEAL_KIB (512) each way, so that a
build that unseals has done so.
"""
import json, os, re, resource, subprocess, sys, time

from pair import Pair, output
from wire import CALLERS

CALLS = int(os.environ.get('CALLS', 20_000))
UNSEAL_KIB = int(os.environ.get('UNSEAL_KIB', 512))
IDLE_S = float(os.environ.get('IDLE_S', 60))
# What each process may need besides: its own files, standby links, listeners.
OTHER_DESCRIPTORS = 500


def main(out, repeats='1'):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pairs = -(-CALLS // ((hard - OTHER_DESCRIPTORS) // 2))
    runs = []
    for _ in range(int(repeats)):
        run = dict(idle=idle())
        print(f'held: idle: {run["idle"]}', flush=True)
        for kind, bulk, preamble in (('sealed', 0, ''), ('unsealed', UNSEAL_KIB << 10, tls_hello().hex())):
            run[kind] = held(pairs, bulk, preamble)
            print(f'held: {kind}: {run[kind]}', flush=True)
        runs.append(run)
    with open(out, 'w') as file: json.dump(dict(runs=runs), file, indent=1)


def idle():
    with Pair('127.0.0.1:21002', '127.0.0.1:21000', '127.0.0.1:21001') as pair:
        # What belongs to the start is over by then.
        time.sleep(5)
        switches, segments, began = pair.switches(), data_segments(), time.monotonic()
        time.sleep(IDLE_S)
        lasted = time.monotonic() - began
        return dict(rss_kb=pair.rss_kb(), seconds=lasted, wake_ups=pair.switches() - switches, heartbeats=data_segments() - segments)


def data_segments():
    """Segments with data that all connections of this namespace have sent: there are none but the daemons'."""
    return sum(map(int, re.findall(r'data_segs_out:(\d+)', output('ss', '-tinH'))))


def held(pairs, bulk, preamble):
    each = -(-CALLS // pairs)
    stand, holders = [], []
    try:
        for index in range(pairs):
            external, target, control = (f'127.0.0.1:{21000 + 10 * index + part}' for part in range(3))
            stand.append(Pair(control, external, target, payload='tls' if preamble else 'any'))
            # The first call brings what is made once.
            answer(start_holder(external, target, 1, bulk, preamble))
        before = sum(pair.rss_kb() for pair in stand)
        began = time.monotonic()
        holders = [start_holder(f'127.0.0.1:{21000 + 10 * index}', f'127.0.0.1:{21001 + 10 * index}', each, bulk, preamble) for index in range(pairs)]
        for holder in holders: wait_ready(holder)
        opened_s = time.monotonic() - began
        time.sleep(2)
        during = sum(pair.rss_kb() for pair in stand)
        outcomes = [answer(holder) for holder in holders]
        opened, alive = (sum(outcome[what] for outcome in outcomes) for what in ('opened', 'alive'))
        time.sleep(3)
        after = sum(pair.rss_kb() for pair in stand)
        return dict(pairs=pairs, opened=opened, alive=alive, opened_s=opened_s, before_kb=before, held_kb=during, after_kb=after, kb_per_call=(during - before) / opened)
    finally:
        for holder in holders:
            if holder.poll() is None: holder.kill(); holder.wait()
        for pair in stand: pair.stop()


def start_holder(external, target, count, bulk, preamble):
    return subprocess.Popen([sys.executable, CALLERS, 'hold', external, target, str(count), str(bulk), preamble], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_ready(holder):
    line = holder.stdout.readline()
    if line != 'READY\n': raise RuntimeError(f'a holder said {line!r}')


def answer(holder):
    """Lets a holder see who lives and end."""
    holder.stdin.write('\n')
    text = holder.communicate(timeout=120)[0]
    return json.loads(text.strip().splitlines()[-1])


def tls_hello():
    """A real ClientHello record, as every call of OFTP2 over TLS begins with one."""
    import ssl
    context, out = ssl.create_default_context(), ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname='station.example')
    try: session.do_handshake()
    except ssl.SSLWantReadError: pass
    return out.read()


def enter_namespace():
    if os.environ.get('OS4X_BENCH_NETNS'): return
    os.environ['OS4X_BENCH_NETNS'] = '1'
    if os.geteuid(): sys.exit('held: a network namespace needs root')
    settings = 'net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range="22000 65000" net.core.somaxconn=4096'
    os.execvp('unshare', ['unshare', '-n', 'bash', '-c', f'ip link set lo up; sysctl -qw {settings}; exec "$@"', 'x', sys.executable, *sys.argv])


if __name__ == '__main__':
    enter_namespace()
    main(*sys.argv[1:])
