#!/usr/bin/env python3
"""A file by OFTP over a wire of 20 ms round trip, through the daemons and without them.

  oftp.py OUT.json [REPEATS]

With small windows OFTP sends `buffer × credit` bytes a round trip and no more, so that every bit of latency that is added is
throughput taken away: 4,096 × 7 over 20 ms are 1.43 MB/s. With large ones the wire and the machine decide.
"""
import json, os, re, subprocess, sys, tempfile

from pair import PROGRAMS, Pair
from wire import INSIDE, OUTSIDE, Wire, why_not

ROUND_TRIP_MS = 20
# Buffer, credit, megabytes: some seconds each.
WINDOWS = [(4096, 7, 6), (65535, 999, 256)]
EXTERNAL, CONTROL, STATION = 21000, 21002, 21001


def main(out, repeats='1'):
    reason = why_not()
    results = dict(skipped=reason) if reason else dict(runs=[run for _ in range(int(repeats)) for run in measured()])
    if reason: print(f'oftp: skipped: {reason}')
    with open(out, 'w') as file: json.dump(results, file, indent=1)


def measured():
    with Wire(ROUND_TRIP_MS) as wire, tempfile.TemporaryDirectory(prefix='os4x-bench-') as folder:
        for buffer, credit, megabytes in WINDOWS:
            window = ['--buffer', str(buffer), '--credit', str(credit)]
            file = os.path.join(folder, 'FILE')
            with open(file, 'wb') as out: out.write(os.urandom(1 << 20) * megabytes)
            station = listening([*wire.inside, f'{PROGRAMS}/os4x_proxyctl', 'station', 'listen', f':{STATION}', '--inbox', os.path.join(folder, f'in{buffer}'), *window])
            try:
                send = [*wire.outside, f'{PROGRAMS}/os4x_proxyctl', 'station', 'send']
                direct = seconds([*send, f'{INSIDE}:{STATION}', file, *window])
                with Pair(f'{OUTSIDE}:{CONTROL}', f'127.0.0.1:{EXTERNAL}', f'127.0.0.1:{STATION}', outside=wire.outside, inside=wire.inside):
                    through = seconds([*send, f'127.0.0.1:{EXTERNAL}', file, *window])
            finally: station.terminate(); station.wait(10)
            run = dict(buffer=buffer, credit=credit, round_trip_ms=ROUND_TRIP_MS, bytes=megabytes << 20, direct_s=direct, through_s=through, ratio=direct / through)
            rate = lambda s: (megabytes << 20) / 1e6 / s
            print(f'oftp: {buffer} x {credit}: direct {rate(direct):.2f} MB/s, through the daemons {rate(through):.2f} MB/s, ratio {run["ratio"]:.3f}', flush=True)
            yield run


def listening(command):
    station = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if 'listening' not in station.stdout.readline(): raise RuntimeError('the station does not listen')
    return station


def seconds(command):
    """From the start to the end of the file, as the sending station says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r'^sent .* bytes in ([\d.]+) (ms|s)', done.stdout, re.M)
    if done.returncode or not found: raise RuntimeError(f'{" ".join(command)}: {done.stdout}{done.stderr}')
    return float(found[1]) / (1000 if found[2] == 'ms' else 1)


if __name__ == '__main__': main(*sys.argv[1:])
