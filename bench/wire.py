"""Two network namespaces and between them a wire with a length. Needs root, iproute2 and /dev/net/tun."""
import os, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
DELAY = os.environ.get('DELAY', os.path.join(HERE, 'delay/target/release/delay'))
CALLERS = os.path.join(HERE, 'callers.py')
# Addresses at the two ends; nothing else is in these namespaces.
OUTSIDE, INSIDE = '10.99.0.1', '10.99.0.2'


def why_not():
    """Why there can be no such wire here, or None."""
    if os.geteuid(): return 'network namespaces and TUN devices need root'
    if not os.path.exists('/dev/net/tun'): return 'there is no /dev/net/tun'
    if subprocess.run(['ip', '-V'], capture_output=True).returncode: return 'there is no `ip`: install iproute2'
    if not os.path.exists(DELAY): return f'{DELAY} has not been built'


class Wire:
    """`outside` is where the proxy and partners are, `inside` where the client and stations are: each is what to put before a
    command that shall run there."""

    def __init__(self, round_trip_ms):
        self.names = [f'os4x{os.getpid()}{end}' for end in 'oi']
        self.delay = None
        try:
            for name in self.names: ip('netns', 'add', name)
            self.outside, self.inside = ([*'ip netns exec'.split(), name] for name in self.names)
            self.delay = subprocess.Popen([*self.outside, DELAY, 'near', 'far', str(round_trip_ms * 500)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if self.delay.stdout.readline() != 'ready\n': raise RuntimeError('the delay did not start')
            ip('-n', self.names[0], 'link', 'set', 'far', 'netns', self.names[1])
            allow_cubic()
            for name, device, address in zip(self.names, ('near', 'far'), (OUTSIDE, INSIDE)):
                # The queue takes the bursts of a large window, so that nothing is lost; packets are as large as on Ethernet.
                ip('-n', name, 'link', 'set', device, 'mtu', '1500', 'txqueuelen', '20000', 'up')
                ip('-n', name, 'address', 'add', f'{address}/30', 'dev', device)
                ip('-n', name, 'link', 'set', 'lo', 'up')
                run(['ip', 'netns', 'exec', name, 'sysctl', '-qw', 'net.ipv4.tcp_congestion_control=cubic'])
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.delay:
            self.delay.stdin.close()
            self.delay.wait(5)
        for name in self.names: subprocess.run(['ip', 'netns', 'delete', name], capture_output=True)

    def __enter__(self): return self

    def __exit__(self, *_): self.close()


def allow_cubic():
    """Lets a namespace choose cubic where the host's default is something else. Changes no default."""
    path = '/proc/sys/net/ipv4/tcp_allowed_congestion_control'
    with open(path) as file: allowed = file.read().split()
    if 'cubic' not in allowed:
        with open(path, 'w') as file: file.write(' '.join([*allowed, 'cubic']))


def caller(where, *arguments):
    """Starts callers.py at one end of a wire; `where` is `wire.inside` or `wire.outside`."""
    return subprocess.Popen([*where, sys.executable, CALLERS, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ip(*arguments): run(['ip', *arguments])


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode: raise RuntimeError(f'{" ".join(command)}: {done.stderr}')
