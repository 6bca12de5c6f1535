"""The figures to reach, and how each comes out of the results of one run.

A figure is a list of values, one a repeat; its median has to keep to the bound. A ratio is taken within each repeat, so that what
the machine did meanwhile was done to both.
"""
import os
from dataclasses import dataclass
from statistics import mean, median

OURS, KERNEL, CHAINED, PLAIN, TLS = 'os4x-sealed', 'os4x-kernel', 'haproxy2-splice', 'rathole-tcp', 'rathole-tls'
NAMES = {CHAINED: 'two HAProxies, splice', PLAIN: 'rathole, plain', TLS: 'rathole, TLS'}


@dataclass
class Figure:
    name: str
    bound: float
    unit: str
    values: list
    at_most: bool = True
    digits: int = 2
    why_none: str = 'not measured'

    def is_reached(self):
        return median(self.values) <= self.bound if self.at_most else median(self.values) >= self.bound


def figures(results):
    """All of them, in the order of the table. `results` has the parsed file of every part that was measured."""
    compare, held, latency, oftp = (results.get(part) or {} for part in ('compare', 'held', 'latency', 'oftp'))
    yield from compared(compare)
    yield from set_up(latency)
    yield from of_memory(held)
    yield from of_files(compare)
    small = [run['ratio'] for run in oftp.get('runs', []) if run['buffer'] == 4096]
    why = oftp.get('skipped', 'not measured')
    yield Figure('OFTP 4,096 × 7 over 20 ms, beside a direct connection', 0.97, '×', small, at_most=False, digits=3, why_none=why)


def compared(compare):
    both = lambda streams, path: lambda run: mean(dig(run, f'tput_{way}_{streams}', path) for way in ('up', 'down'))
    one = lambda test, path: lambda run: dig(run, test, path)

    def ratio(name, ours, peer, value, bound, at_most=True):
        return Figure(f'{name}, beside {NAMES[peer]}', bound, '×', ratios(compare, ours, peer, value), at_most)

    for streams in (1, 8):
        cpu = both(streams, 'cpu_s_per_gb')
        plural = 's' if streams > 1 else ''
        yield ratio(f'kernel path, CPU s/GB, {streams} stream{plural}', KERNEL, CHAINED, cpu, 0.9)
        yield ratio(f'kernel path, CPU s/GB, {streams} stream{plural}', KERNEL, PLAIN, cpu, 0.2)
        yield ratio(f'sealed, CPU s/GB, {streams} stream{plural}', OURS, TLS, cpu, 0.5)
    yield ratio('kernel path, throughput, 1 stream', KERNEL, CHAINED, both(1, 'gbit_s'), 1.1, at_most=False)
    for peer, bound in ((CHAINED, 1.0), (TLS, 0.2)):
        yield ratio('sealed, set-up p50', OURS, peer, one('setup', 'first_byte.p50_us'), bound)
    yield ratio('sealed, short calls/s, 32 at once', OURS, PLAIN, one('short', 'conns_per_s'), 1.0, at_most=False)
    yield Figure('sealed, short calls that failed', 0, '', series(compare, OURS, one('short', 'fails_total')), digits=0)
    yield ratio('sealed, ping-pong 100 B p50', OURS, PLAIN, one('pingpong', 'rtt.p50_us'), 1.0)


def set_up(latency):
    runs = latency.get('runs', [])
    for asked in sorted({run['asked_ms'] for run in runs}) or [10]:
        for direction, name in (('inward', 'in'), ('outward', 'out')):
            those = [run[direction] for run in runs if run['asked_ms'] == asked]
            why = next((one['skipped'] for one in those if 'skipped' in one), latency.get('skipped', 'not measured'))
            values = [one['round_trips'] for one in those if 'round_trips' in one]
            yield Figure(f'set-up {name} at {asked} ms, beyond the target\'s own', 1.2, 'round trips', values, why_none=why)


def of_memory(held):
    runs = held.get('runs', [])
    for kind, bound in (('sealed', 20), ('unsealed', 10)):
        calls = f'{runs[0][kind]["alive"]:,} of {runs[0][kind]["opened"]:,} alive' if runs else '20,000 held'
        yield Figure(f'memory of an idle call, {kind}, both daemons ({calls})', bound, 'KB', [run[kind]['kb_per_call'] for run in runs], digits=1)
    yield Figure('idle, resident memory of both daemons', 12, 'MB', [run['idle']['rss_kb'] / 1024 for run in runs], digits=1)
    # A heartbeat's timer comes down three levels of tokio's wheel (4,096 ms, 64 ms, 1 ms), with a wake-up at each; the
    # receiver's socket is one more; and each end may hand over to another thread once. Anything periodic besides shows.
    yield Figure('idle, wake-ups of both daemons for each heartbeat', 6, '', [run['idle']['wake_ups'] / run['idle']['heartbeats'] for run in runs if run['idle']['heartbeats']])


def of_files(compare):
    binaries = compare.get('subjects', {}).get(OURS, {}).get('info', {}).get('binaries', {})
    sizes = [size / 1048576 for path, size in binaries.items() if os.path.basename(path) == 'os4x_proxy']
    yield Figure('os4x_proxy, stripped', 4, 'MB', sizes)


def ratios(compare, ours, peer, value):
    pairs = zip(series(compare, ours, value), series(compare, peer, value))
    return [mine / theirs for mine, theirs in pairs if mine is not None and theirs]


def series(compare, subject, value):
    """The value of every repeat. A repeat without it counts as none."""
    found = []
    for run in compare.get('subjects', {}).get(subject, {}).get('runs', []):
        try: found.append(value(run))
        except (KeyError, TypeError): pass
    return found


def dig(run, test, path):
    at = run[test]
    for part in path.split('.'): at = at[part]
    return at
