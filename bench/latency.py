#!/usr/bin/env python3
"""What a call costs before its first byte when the daemons are far apart, in round trips between them.

  latency.py OUT.json [REPEATS [MILLISECONDS,…]]      round trips of 10 and 50 ms unless told otherwise

In: from the partner's connect at the external port to the first byte of a station that speaks first. Out: from the station's
connect at the client's -Q, by SOCKS5, to the first byte of a partner that speaks first. What the same call takes without the
daemons, over loopback, is taken off.
"""
import json, statistics, sys

from pair import Pair
from wire import INSIDE, OUTSIDE, Wire, caller, why_not

CALLS = 30
EXTERNAL, CONTROL, TARGET, OUTGOING, PARTNER = 21000, 21002, 21001, 21003, 21005


def main(out, repeats='1', round_trips='10,50'):
    reason = why_not()
    results = dict(skipped=reason) if reason else dict(runs=[measured(int(ms)) for _ in range(int(repeats)) for ms in round_trips.split(',')])
    for run in results.get('runs', []): print(told(run), flush=True)
    if reason: print(f'latency: skipped: {reason}')
    with open(out, 'w') as file: json.dump(results, file, indent=1)


def measured(asked_ms):
    with Wire(asked_ms) as wire:
        run = dict(asked_ms=asked_ms)
        station = serving(wire.inside, f'127.0.0.1:{TARGET}')
        partner = serving(wire.outside, f'127.0.0.1:{PARTNER}')
        far = serving(wire.outside, f'{OUTSIDE}:{PARTNER}')
        try:
            # A TCP connect is one round trip.
            run['round_trip_ms'] = middle(calls(wire.inside, f'{OUTSIDE}:{PARTNER}'), 'connected')
            direct = dict(inward=middle(calls(wire.inside, f'127.0.0.1:{TARGET}')), outward=middle(calls(wire.outside, f'127.0.0.1:{PARTNER}')))
            addresses = dict(control=f'{OUTSIDE}:{CONTROL}', external=f'127.0.0.1:{EXTERNAL}', target=f'127.0.0.1:{TARGET}', outside=wire.outside, inside=wire.inside)
            with Pair(**addresses): note(run, 'inward', calls(wire.outside, f'127.0.0.1:{EXTERNAL}'), direct)
            outward = dict(outgoing=f'127.0.0.1:{OUTGOING}', callable_=[f'127.0.0.1:{PARTNER}'])
            with Pair(**addresses, **outward): note(run, 'outward', calls(wire.inside, f'127.0.0.1:{PARTNER}', f'127.0.0.1:{OUTGOING}'), direct)
        finally:
            for server in (station, partner, far): server.stdin.close(); server.wait(5)
        return run


def serving(where, at):
    server = caller(where, 'banner', at)
    if server.stdout.readline() != 'READY\n': raise RuntimeError(f'no station at {at}')
    return server


def calls(where, to, *socks):
    process = caller(where, 'call', to, CALLS, *socks)
    return json.loads(process.communicate(timeout=120)[0])


def middle(calls, what='first'):
    if not calls[what]: raise RuntimeError('no call came through')
    return statistics.median(calls[what])


def note(run, direction, calls, direct):
    if not calls['first']: run[direction] = dict(skipped=f'no call came through, {calls["failed"]} failed'); return
    took, own = middle(calls), direct[direction]
    run[direction] = dict(p50_ms=took, min_ms=min(calls['first']), max_ms=max(calls['first']), direct_ms=own, failed=calls['failed'], round_trips=(took - own) / run['round_trip_ms'])


def told(run):
    words = [f'round trip {run["round_trip_ms"]:.2f} ms (asked {run["asked_ms"]})']
    for direction, name in (('inward', 'in'), ('outward', 'out')):
        one = run[direction]
        words.append(f'{name}: skipped: {one["skipped"]}' if 'skipped' in one else
                     f'{name}: p50 {one["p50_ms"]:.2f} ms, {one["round_trips"]:.2f} round trips beyond {one["direct_ms"]:.2f} ms direct, {one["failed"]} failed')
    return 'latency: ' + '; '.join(words)


if __name__ == '__main__': main(*sys.argv[1:])
