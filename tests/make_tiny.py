"""Train parts of the tiny bundle anew and examine it: `python tests/make_tiny.py --out FOLDER --minutes 4`.

On a GPU three processes train at once: the picture decoder, the image judge, and the generator; on a CPU two, a core
each. They go on from the weights of --start. The new bundle is put
together from their folders and examined on true conditions at several strengths and kinds of noise; FOLDER gets the
weights that are new (unet, motion_adapter, vae, image_classifier), history.json and figures.json, or with --whole the
whole bundle. It ends by itself: what is trained when the time is over is kept.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile, time, traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
START = time.time()
PARTS = dict(decoder=['vae_decoder'], judge=['image_classifier'], generator=['unet', 'motion_adapter', 'fast'])
FOLDERS = dict(vae_decoder=['vae'], image_classifier=['image_classifier'], unet=['unet'], motion_adapter=['motion_adapter'],
               fast=['fast_lora', 'fast_adapter'])

def folders_of(job):
    "Folders of the bundle that a job makes."
    return [folder for part in PARTS[job] for folder in FOLDERS[part]]

def parsed():
    import torch
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--out', required=True)
    p.add_argument('--minutes', type=float, default=4, help='of everything, start and exam included')
    p.add_argument('--exam-minutes', type=float, default=.9, help='of these, kept for the exam')
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--precision', default='tf32', choices=['fp32', 'tf32', 'bf16'])
    p.add_argument('--start', default='tiny', help='bundle whose other parts are kept')
    p.add_argument('--afresh', action='store_true', help='begin with untrained networks, not with those of --start')
    p.add_argument('--jobs', nargs='*', default=list(PARTS), choices=list(PARTS))
    p.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that draw, of all jobs together')
    p.add_argument('--clips', type=int, default=480, help='of the exam')
    p.add_argument('--settings', help='JSON file of further arguments by part, as tiny.GPU_SETTINGS')
    p.add_argument('--whole', action='store_true')
    p.add_argument('--one-job', choices=list(PARTS), help=argparse.SUPPRESS)
    p.add_argument('--until', type=float, help=argparse.SUPPRESS)
    return p.parse_args()

def one_job(a):
    "Train the parts of one job in a folder of its own."
    from semvideo.tiny import train_anew
    settings = json.loads(Path(a.settings).read_text()) if a.settings else None
    train_anew(a.out, PARTS[a.one_job], a.start, max(.02, (a.until-time.time())/60), a.device, a.precision,
               a.workers, settings=settings, afresh=a.afresh)

def run_jobs(a, work):
    """All jobs at once where there is a GPU; on a CPU the generator on one core, and the others one after the other on
    a second; {job: return code}."""
    end,codes,logs = START + 60*(a.minutes-a.exam_minutes),{},{}
    cpu,others = a.device == 'cpu',[j for j in a.jobs if j != 'generator']
    lanes = [lane for lane in ([others, ['generator']] if cpu else [[j] for j in a.jobs]) if set(lane) <= set(a.jobs) and lane]
    share = max(1, a.workers//len(lanes))
    def run(lane):
        for i,job in enumerate(lane):
            until = time.time() + (end-time.time())/(len(lane)-i)
            more = ['--settings', a.settings] if a.settings else []
            more += ['--afresh'] if a.afresh else []
            command = [sys.executable, __file__, '--out', work/job, '--one-job', job, '--until', until, '--device', a.device,
                       '--precision', a.precision, '--start', a.start, '--workers', share, *more]
            env = dict(os.environ, SEMVIDEO_QUIET='1', **(dict(OMP_NUM_THREADS='1') if cpu else {}))
            logs[job] = work/f'{job}.log'
            with open(logs[job], 'w') as log:
                process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=env)
                try: codes[job] = process.wait(max(1, until + (60 if cpu else 15) - time.time()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    codes[job] = 'killed: over time'
    with ThreadPoolExecutor(len(lanes)) as pool: list(pool.map(run, lanes))
    for job,code in codes.items():
        if code: print(job, logs[job].read_text()[-3000:], file=sys.stderr)
    return codes

def together(a, work, codes):
    "The start bundle with the parts of every job that ended well."
    from semvideo.bundle import bundle_path
    bundle = work/'bundle'
    shutil.copytree(bundle_path(a.start), bundle)
    history = json.loads((bundle/'history.json').read_text())
    for job in [j for j in a.jobs if codes[j] == 0]:
        theirs = json.loads((work/job/'history.json').read_text())
        for folder in folders_of(job):
            shutil.rmtree(bundle/folder, ignore_errors=True)
            shutil.copytree(work/job/folder, bundle/folder)
            if folder != 'vae': history[folder] = theirs[folder]
        if job == 'decoder': history['vae_decoder'] = theirs['vae_decoder']
    (bundle/'history.json').write_text(json.dumps(history, indent=1))
    return bundle

SETTINGS = [dict(video_strength=s, noise_shared=n) for s in (.8, .6) for n in (0., .5, .8, 1.)]
LATER = [dict(video_strength=.8, noise_shared=.5, guidance=g) for g in (1.25, 1.5, 3.)]
LATER += [dict(video_strength=.8, noise_shared=.5, steps=s) for s in (8, 12)]
LATER += [dict(video_strength=.4, noise_shared=n) for n in (0., .5, 1.)]

class Marking:
    "Renders true conditions, and such as an unsure decoder might give, and writes the marks down."
    def __init__(self, a, bundle, figures, save):
        import tiny_exam as T
        self.a,self.bundle,self.figures,self.save,self.T,self.given,self.cvr = a,bundle,figures,save,T,{},{}
        self.clips = T.clips_of(a.clips, 0)
        self.judges = {name: T.Judges(place, a.device) for name,place in dict(new=bundle, start=a.start).items()}
    def note(self, key, call):
        "Whatever fails is written down and passed over; nothing begins when the time is over."
        if time.time() > START + 60*self.a.minutes - 5:
            self.figures.setdefault('left_out', []).append(key)
            return
        try: self.figures[key] = call()
        except Exception: self.figures[key] = traceback.format_exc()[-1500:]
        self.save()
    def render(self, name, unsure, more):
        "Marks of one bundle under one setting, by both bundles' judges; half as many clips of unsure conditions."
        import torch
        place,n = dict(new=self.bundle, start=self.a.start)[name],self.a.clips//(1+unsure)
        if (name, unsure) not in self.given:
            self.given[name, unsure] = self.T.conditions(place, self.clips[:n], self.a.device, unsure)
        if name not in self.cvr:
            self.cvr[name] = self.T.CVR(place, device=self.a.device, dtype=torch.float32, motion_gain=1.)
        cvr = self.cvr[name]
        cvr.config,before = cvr.config.replace(**more),cvr.config
        decoded,frames = self.given[name, unsure]
        try: x = cvr.render(decoded, batch=24 if self.a.device == 'cpu' else 240)
        finally: cvr.config = before
        return {f'by_{who}': self.T.marks(j, x, frames, self.clips[:n]) for who,j in self.judges.items()}

def examine(a, bundle, figures, save):
    "Marks of the new bundle and of the one it began with."
    m = Marking(a, bundle, figures, save)
    def all_of(name, unsure, settings):
        for more in settings:
            key = ' '.join([name, 'unsure' if unsure else 'true', *(f'{k}={v}' for k,v in more.items())])
            m.note(key, lambda: m.render(name, unsure, more))
    for name,place in dict(new=bundle, start=a.start).items():
        m.note(f'ceilings_{name}', lambda: m.T.ceilings(place, a.clips, 0, a.device))
    all_of('new', False, SETTINGS)
    all_of('start', False, SETTINGS[:2])
    all_of('new', True, SETTINGS)
    all_of('start', True, SETTINGS[:2])
    all_of('new', False, LATER)
    all_of('new', True, LATER)

def main():
    a = parsed()
    if a.one_job: return one_job(a)
    out,work = Path(a.out),Path(tempfile.mkdtemp(prefix='tiny-'))
    out.mkdir(parents=True, exist_ok=True)
    figures = dict(arguments=vars(a))
    def save():
        figures['seconds'] = round(time.time()-START, 1)
        (out/'figures.json').write_text(json.dumps(figures, indent=1))
    figures['codes'] = codes = run_jobs(a, work)
    figures['trained_after_s'] = round(time.time()-START, 1)
    bundle = together(a, work, codes)
    for job in [j for j in a.jobs if codes[j] == 0 and not a.whole]:
        for folder in folders_of(job):
            (out/folder).mkdir(exist_ok=True)
            for file in (bundle/folder).iterdir(): shutil.copy(file, out/folder)
    if a.whole: shutil.copytree(bundle, out/'bundle', dirs_exist_ok=True)
    else: shutil.copy(bundle/'history.json', out)
    figures['history'] = {k: v[-1] for k,v in json.loads((bundle/'history.json').read_text()).items()}
    save()
    examine(a, bundle, figures, save)
    save()
    shutil.rmtree(work)
    for k,v in figures.items(): print(k, json.dumps(v) if not isinstance(v, str) else v)

if __name__ == '__main__': main()
