#!/usr/bin/env python3
"""The results of one run as Markdown: on the terminal, and in RESULTS.md, where a run of the same commit is replaced.

  report.py FOLDER [RESULTS.md]
"""
import json, os, re, subprocess, sys, time
from statistics import median

from figures import figures

HERE = os.path.dirname(os.path.abspath(__file__))
PREFACE = '''# Results

Runs of `bench/run`, newest first; what it measures and how is in [README.md](README.md). What counts are the ratios within one
run, on one machine: a figure without a peer beside it says as much of the machine as of the programs. Values are medians over
the repeats, with the least and the most of them.
'''


def main(folder, results=None):
    found = {part: load(os.path.join(folder, f'{part}.json')) for part in ('compare', 'held', 'latency', 'oftp')}
    micro = os.path.join(folder, 'micro.txt')
    text = '\n'.join([heading(), machine(found), table_of_figures(found), table_of_peers(found), of_latency(found['latency']), of_oftp(found['oftp']), of_micro(micro)])
    print(text)
    if results: put(results, text)


def load(path):
    if not os.path.exists(path): return None
    with open(path) as file: return json.load(file)


def heading():
    """A commit with a plus has changes that are not committed."""
    git = lambda *arguments: said('git', '-C', f'{HERE}/..', *arguments)
    changed = git('status', '--porcelain', '-uno', '--', '.', ':!bench/RESULTS.md')
    return f'## {time.strftime("%Y-%m-%d", time.gmtime())}, commit {git("rev-parse", "--short", "HEAD")}{"+" if changed else ""}\n'


def machine(found):
    cpu = re.search(r'^model name\s*: (.*)', read('/proc/cpuinfo'), re.M)
    binaries = os.environ.get('OBENCH_CACHE', os.path.expanduser('~/.cache/obench')) + '/bin'
    repeats = max((len(one['runs']) for one in ((found['compare'] or {}).get('subjects') or {}).values()), default=0)
    haproxy = re.search(r'version (\S+)', said('haproxy', '-v') or '')
    rathole = re.search(r'Build Version:\s*(\S+)|rathole (\S+)', said(f'{binaries}/rathole', '--version') or '')
    return '\n'.join([
        f'* Machine: {cpu[1] if cpu else os.uname().machine}, {os.cpu_count()} CPUs, Linux {os.uname().release}',
        f'* Versions: {said("rustc", "--version")}; HAProxy {haproxy[1] if haproxy else "?"}; rathole {rathole[1] or rathole[2] if rathole else "?"}; Python {sys.version.split()[0]}',
        f'* Repeats of the comparison: {repeats}', ''])


def table_of_figures(found):
    rows = [('Figure', 'To reach', 'Median', 'Min', 'Max', '')]
    for figure in figures(found):
        unit = f' {figure.unit}' if figure.unit and figure.unit != '×' else ''
        bound = f'{"≤" if figure.at_most else "≥"} {figure.bound:g}{unit}'
        if figure.values:
            numbers = (f'{number:.{figure.digits}f}' for number in (median(figure.values), min(figure.values), max(figure.values)))
            rows.append((figure.name, bound, *numbers, 'reached' if figure.is_reached() else '**missed**'))
        else: rows.append((figure.name, bound, '–', '–', '–', figure.why_none))
    return markdown(rows)


COLUMNS = [('1 stream Gbit/s', 'tput_{}_1', 'gbit_s', 1), ('8 streams Gbit/s', 'tput_{}_8', 'gbit_s', 1), ('1 stream CPU s/GB', 'tput_{}_1', 'cpu_s_per_gb', 2),
           ('8 streams CPU s/GB', 'tput_{}_8', 'cpu_s_per_gb', 2), ('set-up p50 µs', 'setup', 'first_byte.p50_us', 0), ('banner p50 µs', 'setup_banner', 'first_byte.p50_us', 0),
           ('ping p50 µs', 'pingpong', 'rtt.p50_us', 0), ('short calls/s', 'short', 'conns_per_s', 0), ('CPU µs a short call', 'short', 'cpu_us_per_conn', 0), ('KB an idle call (1,000)', 'idle_1000', 'kb_per_conn', 1),
           ('idle RSS MB', 'start', 'mem.total.rss_kb', 1)]


def table_of_peers(found):
    subjects = (found['compare'] or {}).get('subjects', {})
    if not subjects: return ''
    rows = [('', *(column[0] for column in COLUMNS))]
    for name in sorted(subjects, key=lambda name: subjects[name]['info'].get('order') or 500): rows.append((name, *(cell(subjects[name]['runs'], column) for column in COLUMNS)))
    return 'Side by side; throughput and its cost are the mean of both directions.\n\n' + markdown(rows)


def cell(runs, column):
    _, test, path, digits = column
    values = []
    for run in runs:
        found = [dug(run.get(test.format(way), {}), path) for way in (('up', 'down') if '{' in test else ('',))]
        if None not in found: values.append(sum(found) / len(found) / (1024 if path.endswith('rss_kb') else 1))
    if not values: return '–'
    spread = f' ({min(values):.{digits}f}–{max(values):.{digits}f})' if len(values) > 1 else ''
    return f'{median(values):.{digits}f}{spread}'


def dug(at, path):
    for part in path.split('.'):
        if not isinstance(at, dict) or part not in at: return None
        at = at[part]
    return at


def of_latency(latency):
    if not latency or 'runs' not in latency: return ''
    rows = [('Set-up with the daemons apart', 'round trip ms', 'p50 ms', 'min', 'max', 'direct ms', 'round trips beyond')]
    for run in latency['runs']:
        for direction, name in (('inward', 'in'), ('outward', 'out')):
            one = run[direction]
            if 'skipped' in one: rows.append((f'{name}, {run["asked_ms"]} ms', f'{run["round_trip_ms"]:.2f}', one['skipped'], '', '', '', ''))
            else: rows.append((f'{name}, {run["asked_ms"]} ms', *(f'{number:.2f}' for number in (run['round_trip_ms'], one['p50_ms'], one['min_ms'], one['max_ms'], one['direct_ms'], one['round_trips']))))
    return markdown(rows)


def of_oftp(oftp):
    if not oftp or 'runs' not in oftp: return ''
    rows = [('OFTP over 20 ms, buffer × credit', 'direct MB/s', 'through the daemons MB/s', 'ratio')]
    for run in oftp['runs']:
        rate = lambda seconds: f'{run["bytes"] / 1e6 / seconds:.2f}'
        rows.append((f'{run["buffer"]:,} × {run["credit"]}', rate(run['direct_s']), rate(run['through_s']), f'{run["ratio"]:.3f}'))
    return markdown(rows)


def of_micro(path):
    if not os.path.exists(path): return ''
    kept = [line.rstrip() for line in read(path).splitlines() if re.match(r'^[a-z]+ .*fastest|^[│├╰ ]+\S', line)]
    return 'Micro-benchmarks (one thread; all ends together):\n\n```\n' + '\n'.join(kept) + '\n```\n'


def put(path, text):
    """Puts a run above the others, in the place of an earlier one of the same commit."""
    old = read(path) if os.path.exists(path) else PREFACE
    preface, *runs = re.split(r'^(?=## )', old, flags=re.M)
    commit = lambda run: run.split('\n')[0].rsplit(' ', 1)[1].rstrip('+')
    runs = [run.rstrip('\n') + '\n' for run in runs if commit(run) != commit(text)]
    with open(path, 'w') as file: file.write('\n'.join([preface.rstrip('\n') + '\n', text.rstrip('\n') + '\n', *runs]))


def markdown(rows):
    line = lambda cells: '| ' + ' | '.join(cells) + ' |'
    return '\n'.join([line(rows[0]), '|' + '---|' * len(rows[0]), *map(line, rows[1:]), ''])


def said(*command):
    try: return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError: return ''


def read(path):
    with open(path) as file: return file.read()


if __name__ == '__main__': main(*sys.argv[1:])
