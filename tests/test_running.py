"745_running: a command that is ended ends what it started."
import signal, subprocess, sys, time
import harness
from study_help import study as study

def test_sigterm_ends_in_words(study):
    code = "import sys, time; from semvideo import cli; cli.VERBS['doctor'] = ((lambda a: (print('on', flush=True), __import__('subprocess').Popen(['sleep', '60']), time.sleep(60))), ()); cli.VERBS['doctor'][0].__doc__ = 'x'; sys.exit(cli.main(['doctor']))"
    p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, env=harness.ENV)
    p.stdout.readline()
    time.sleep(.3)
    import psutil
    child = psutil.Process(p.pid).children()
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=20)
    assert p.returncode == 143 and "interrupted" in err and "Traceback" not in err and child and not any(
        c.is_running() and c.status() != "zombie" for c in child)
