"""The pair of daemons, set up for a measurement: fresh keys, a license, both processes."""
import os, re, shutil, subprocess, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.environ.get('OS4X', os.path.join(HERE, '../target/release'))
READY_S = 20


class Pair:
    """One proxy and one client. `inside` and `outside` are put before their commands, to run them elsewhere."""

    def __init__(self, control, external, target, outgoing=None, callable_=(), payload='any', outside=(), inside=()):
        self.folder = tempfile.mkdtemp(prefix='os4x-bench-')
        os.chmod(self.folder, 0o700)
        self.processes = []
        try:
            self._write(control, external, target, outgoing, callable_, payload)
            self._start('proxy', [*outside, f'{PROGRAMS}/os4x_proxy'], 'door=internal')
            self._start('client', [*inside, f'{PROGRAMS}/os4x_proxyclient'], 'event="ready"')
            # The external port opens once the client is attached.
            self._wait('proxy', 'listener=default')
        except BaseException:
            self.stop()
            raise

    def _write(self, control, external, target, outgoing, callable_, payload):
        keys = {}
        for name, program in (('proxy', 'os4x_proxy'), ('client', 'os4x_proxyclient')):
            keys[name] = output(f'{PROGRAMS}/{program}', '-K', '-c', '/dev/null', '-k', self.path(f'{name}.key')).split('\n')[-1]
        self.put('proxy.authorized', keys['client'] + '\n')
        self.put('client.authorized', keys['proxy'] + '\n')
        self._license()
        common = 'key = "{0}/{1}.key"\nauthorized = "{0}/{1}.authorized"\n'
        proxy = f'internal = "{control}"\nlicense = "{self.path("lic")}"\n' + common.format(self.folder, 'proxy')
        if callable_:
            proxy += '[outgoing]\nallow = [' + ', '.join(f'"{one}"' for one in callable_) + ']\n'
        proxy += f'[[external]]\nname = "default"\nlisten = "{external}"\npayload = "{payload}"\n'
        client = f'proxy = ["{control}"]\nstatus = "off"\n' + common.format(self.folder, 'client')
        client += f'[outgoing]\nlisten = "{outgoing or "off"}"\n'
        client += f'[[target]]\nname = "default"\nconnect = "{target}"\n'
        self.put('proxy.toml', proxy)
        self.put('client.toml', client)

    def _license(self):
        ctl = f'{PROGRAMS}/os4x_proxyctl'
        proxy_id = output(f'{PROGRAMS}/os4x_proxy', '-L', '-c', '/dev/null', '-k', self.path('proxy.key')).rsplit(': ', 1)[1]
        output(ctl, 'license', 'issue', '--proxy-id', proxy_id, '--days', '30', '-o', self.path('lic'))

    def _start(self, name, command, sign):
        with open(self.path(f'{name}.log'), 'wb') as log:
            process = subprocess.Popen([*command, '-f', '-c', self.path(f'{name}.toml')], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        self._wait(name, sign)

    def _wait(self, name, sign):
        until = time.monotonic() + READY_S
        while sign not in self.log(name):
            if time.monotonic() > until or any(process.poll() is not None for process in self.processes):
                raise RuntimeError(f'the {name} never said {sign}:\n{self.log(name)}')
            time.sleep(0.01)

    def path(self, name): return os.path.join(self.folder, name)

    def put(self, name, text):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as file: file.write(text)

    def log(self, name):
        with open(self.path(f'{name}.log'), errors='replace') as file: return file.read()

    def rss_kb(self):
        """Resident memory of both."""
        return sum(int(re.search(r'^Rss:\s+(\d+)', read(f'/proc/{process.pid}/smaps_rollup'), re.M)[1]) for process in self.processes)

    def switches(self):
        """How often a thread of either has gone to sleep, or been made to."""
        return sum(int(count) for process in self.processes for task in os.listdir(f'/proc/{process.pid}/task')
                   for count in re.findall(r'ctxt_switches:\s+(\d+)', read(f'/proc/{process.pid}/task/{task}/status')))

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            # A second signal ends the drain.
            time.sleep(0.05)
            process.terminate()
        for process in self.processes:
            try: process.wait(5)
            except subprocess.TimeoutExpired: process.kill(); process.wait()
        self.processes = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self): return self

    def __exit__(self, *_): self.stop()


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode: raise RuntimeError(f'{" ".join(command)}: {done.stdout}{done.stderr}')
    return done.stdout.strip()


def read(path):
    with open(path) as file: return file.read()
