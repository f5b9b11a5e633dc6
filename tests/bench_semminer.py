"""What mining costs beside the model, and whether a server is kept busy. Writes tests/results/bench_semminer.json.

    python tests/bench_semminer.py [--real]

Times of work in this process are processor times (the machine may be shared); times against the server are wall times.
"""
import datetime, json, os, platform, subprocess, sys, tempfile, time
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here)]
os.environ.update(SEMVIDEO_QUIET='1', HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1')
import numpy as np
from semvideo.core import CAPTION_LEVELS, array_sha256, ensure_torchvision, write_json
from semvideo.semminer import CaptionStore, SemMiner, as_data, caption_key, mine_study
from semvideo.mllm import ServerBackend, TransformersBackend, tiny_mllm, video_parts
from semvideo.video import read_clips, write_video
from semminer_help import loopback, small_study

F, SIDE, N = 12, 256, 20     # frames and pixels of a clip as the paper's settings have them; clips measured
OUT_TOKENS = 20 + 33 + 41 + 53     # rein at its limit, and the paper's Table 4
PARAMETERS, BYTES = 7.6e9, 2     # a 7B model in bf16
MACHINE = dict(name='one 80 GB GPU of 2022 (assumed, not measured)', bandwidth=3.35e12, flops=4e14)

def cpu(f, n):
    t = time.process_time()
    for i in range(n): f(i)
    return (time.process_time() - t)/n

def outside(tmp):
    "Seconds of processor time a clip, by step, at full input size with the tiny Qwen2.5-VL's processor at its default pixel budget."
    ensure_torchvision()
    from transformers import Qwen2VLVideoProcessor
    rng = np.random.default_rng(0); base = np.kron(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), np.ones((SIDE//16 + 8, SIDE//16 + 8, 1), np.uint8))
    film = np.stack([np.roll(base, i, 1)[:SIDE, :SIDE] for i in range(60*N)]); write_video(tmp/'film.mp4', film, 30)
    b = TransformersBackend(tiny_mllm('Qwen2.5-VL', tmp/'tiny')); b.processor.video_processor = Qwen2VLVideoProcessor()
    out, t = {}, time.process_time()
    clips = read_clips(tmp/'film.mp4', np.arange(N)*2., 2., F, threads=1); out['decode'] = (time.process_time() - t)/N
    miner, store = SemMiner(b), CaptionStore(tmp/'store'); sha = {}
    out['hash and key'] = cpu(lambda i: sha.setdefault(i, caption_key(array_sha256(clips[i]), b, miner.prompts, 20, 2, str(i))), N)
    x = {}; out['resize, normalise, tokenise the video'] = cpu(lambda i: x.update(last=b._process(b._render(miner.prompts.system, '')[0], clips[i])), N)
    rein = as_data('A young woman stands in a wheat field and turns her head.')
    def ask(i): [b._tail_ids(b._render(miner.prompts.system, getattr(miner.prompts, l).format(max_words=20) if l == 'basic' else getattr(miner.prompts, l).format(basic=rein))[1]) for l in CAPTION_LEVELS]
    out['four prompts'] = cpu(ask, N)
    out['store'] = cpu(lambda i: store.append(dict(key=sha[i], clip_id=str(i), **{l: 'word '*40 for l in CAPTION_LEVELS}, notes={})), N); store.close()
    return out, int(x['last']['input_ids'].shape[1])

def server(delay=.2, clips=64):
    "Clips a second against a server that takes `delay` seconds an answer, however many it is asked at once."
    rows = []
    for n in (1, 2, 4, 8, 16, 32):
        with tempfile.TemporaryDirectory() as d, loopback('--delay', delay) as (url, stats, _):
            study = small_study(Path(d)/'s', n=min(clips, 4*n), f=8, size=64); b = ServerBackend(url, 'tiny', 'none', concurrency=n, video='jpeg')
            t = time.perf_counter(); assert mine_study(study, b).finished; s = time.perf_counter() - t
            rows.append(dict(n=n, clips=min(clips, 4*n), most_in_flight=stats()['most'], seconds=round(s, 3), clips_per_s=round(min(clips, 4*n)/s, 3), of_ideal=round(min(clips, 4*n)/s/(n/(4*delay)), 3)))
    return dict(answer_s=delay, rows=rows)

def real_captions(folder):
    "Tables 4 and 5 and the gates on captions of real clips, by the classifier backend (no language model), if the clips are there."
    from semvideo.captions import check_captions, clip_counter, clip_text_features, gate_table, table4, table5, wordnet
    from semvideo.mllm import ClassifierBackend
    from semvideo.semminer import mine_movie
    if not folder.is_dir(): return 'no folder of real clips here'
    with tempfile.TemporaryDirectory() as d:
        out = mine_movie(sorted(folder.glob('*.mp4')), ClassifierBackend(), Path(d)/'s', clip_s=2., n_frames=4, size=96); df = CaptionStore(Path(d)/'s').frame()
    t4, t5, gates = table4(df, clip_counter()), table5(df, clip_text_features('tiny'), wordnet()), gate_table(check_captions(df), len(df))
    return dict(clips=len(df), failed=len(out.failed), backend=df.model[0], table4=t4.T.to_dict(), table5={' | '.join(k): v for k,v in t5.T.to_dict().items()}, gates={k: int(v) for k,v in gates.clips.items() if v},
        note="CLIP-S by the tiny bundle's text encoder, which knows the micro-cinema's words only")

if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as d: steps, prefix = outside(Path(d))
    total = sum(steps.values())
    model = OUT_TOKENS*PARAMETERS*BYTES/MACHINE['bandwidth'] + 2*PARAMETERS*(prefix + 4*90)/MACHINE['flops']
    git = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=here, capture_output=True, text=True).stdout.strip()
    cpu_name = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), platform.machine())
    res = dict(what='mining: time outside the model, and a server kept busy', date=datetime.date.today().isoformat(), commit=git, machine=dict(cpu=cpu_name, cores=os.cpu_count(), python=platform.python_version(), load=round(os.getloadavg()[0], 1)),
        outside=dict(frames=F, side=SIDE, clips=N, seconds_per_clip={k: round(v, 5) for k,v in steps.items()}, total=round(total, 5)),
        extrapolation=dict(prefix_tokens=prefix, prompt_tokens='4 x 90', output_tokens=OUT_TOKENS, parameters=PARAMETERS, bytes=BYTES, machine=MACHINE, model_seconds_per_clip=round(model, 3), share_outside=round(total/(total + model), 4),
            note='output tokens at memory bandwidth, prompt tokens at the stated flops; a lower bound on the model, hence an upper bound on the share'),
        server=server(), **(dict(real_captions=real_captions(here.parent.parent/'shared'/'clips')) if '--real' in sys.argv else {}))
    write_json(here/'results'/'bench_semminer.json', res); print(json.dumps(res, indent=1))
