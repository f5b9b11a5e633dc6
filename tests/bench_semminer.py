"""What mining costs beside the model, whether the model waits, and whether a server is kept busy. Writes tests/results/bench_semminer.json.

    python tests/bench_semminer.py [--real]

Two figures for the time outside the model, because they answer different questions:
(a) processor seconds a clip spent on anything but the model, whenever they are spent: what a clip costs;
(b) the share of the wall time of a run during which the model does not run: what the user waits for. The limit of 5 % is on (b); (a) is shown beside it.
The model is a tiny Qwen2.5-VL of the real classes. Where a real model's time is stated, each call of the tiny model sleeps until that time is over, as a GPU would keep a thread waiting.
"""
import copy, datetime, json, os, platform, subprocess, sys, tempfile, time
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here.parent), str(here)]
os.environ.update(SEMVIDEO_QUIET='1', HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1')
import numpy as np
from semvideo.core import CAPTION_LEVELS, array_sha256, ensure_torchvision, write_json
from semvideo.semminer import CaptionStore, SemMiner, as_data, caption_key, mine_clips, mine_study, movie_items
from semvideo.mining import _mine_one, _ready_one
from semvideo.mllm import ServerBackend, TransformersBackend, tiny_mllm
from semvideo.video import read_clip, read_clips, write_video
from semminer_help import loopback, small_study

F, SIDE, N = 12, 256, 20 # frames and pixels of a clip as the paper's settings have them; clips measured
TOKENS = dict(basic=20, anchor=33, motion=41, holistic=53) # rein at its limit, and the paper's Table 4
PARAMETERS, BYTES, QUESTION = 7.6e9, 2, 90     # a 7B model in bf16; tokens of a question
RATES = {     # tokens a second of a 7B model in bf16, one request at a time
    'transformers, published': dict(rate=38.76, flops=312e12, source='QwenLM/Qwen2.5 docs/source/benchmark/speed_benchmark.rst: Qwen2.5-7B-Instruct BF16, transformers 4.46.0, one A100 80GB, batch 1, input 6144'),
    'vLLM, published': dict(rate=80.70, flops=312e12, source='the same page: vLLM 0.6.3, otherwise the same'),
    'bandwidth limit': dict(rate=3.35e12/(PARAMETERS*BYTES), flops=989e12, source='all weights read once a token at 3.35 TB/s: no program reaches it; the published vLLM rate is 60 % of its GPU\'s limit (2.04 TB/s)'),
}

def cpu(f, n):
    t = time.process_time()
    for i in range(n): f(i)
    return (time.process_time() - t)/n

def stated_time(row, prefix):
    """Seconds of the model a clip: (prefix, {level: answer}); prompt tokens at the full speed of the
    GPU, which is again too fast."""
    read = lambda tokens: 2*PARAMETERS*tokens/row['flops']
    return read(prefix), {l: k/row['rate'] + read(QUESTION) for l,k in TOKENS.items()}

def backend(tmp, layers=2):
    "The tiny Qwen2.5-VL with the real processor's pixel budget."
    ensure_torchvision()
    from transformers import Qwen2VLVideoProcessor
    b = TransformersBackend(tiny_mllm('Qwen2.5-VL', tmp/f'tiny{layers}', layers=layers),
                            max_tokens=TOKENS)
    b.processor.video_processor = Qwen2VLVideoProcessor()
    b._ahead = copy.deepcopy(b.processor)
    return b

def film(tmp):
    "A film whose every frame is new: a texture that moves."
    rng = np.random.default_rng(0)
    base = np.kron(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8),
                   np.ones((SIDE // 16 + 8, SIDE // 16 + 8, 1), np.uint8))
    return write_video(tmp/'film.mp4',
                       np.stack([np.roll(base, i, 1)[:SIDE, :SIDE] for i in range(60*N)]), 30)

def outside(tmp, b, movie):
    "Processor seconds a clip, by step, at full input size; and the prefix in tokens."
    out, t = {}, time.process_time()
    clips = read_clips(movie, np.arange(N)*2., 2., F, threads=1)
    out['decode, one pass over the film'] = (time.process_time() - t)/N
    other = cpu(lambda i: read_clip(movie, i*2., 2., F, threads=1), N)
    miner, store, sha = SemMiner(b), CaptionStore(tmp/'store'), {}
    out['hash and key'] = cpu(
        lambda i: sha.setdefault(
            i, caption_key(array_sha256(clips[i]), b, miner.prompts, 20, 2, str(i))), N)
    x = {}
    out['resize, normalise, tokenise the video'] = cpu(
        lambda i: x.update(last=b.prepare(clips[i], miner.prompts.system)), N)
    rein = as_data('A young woman stands in a wheat field and turns her head.')
    ask = lambda i: [
        b._tail_ids(
            b._render(
                miner.prompts.system,
                getattr(miner.prompts, l).format(**(dict(max_words=20)
                                                    if l == 'basic' else dict(basic=rein))))[1])
        for l in CAPTION_LEVELS
    ]
    out['four prompts'] = cpu(ask, N)
    out['store'] = cpu(
        lambda i: store.append(
            dict(key=sha[i], clip_id=str(i), **{l: 'word '*40
                                                for l in CAPTION_LEVELS}, notes={})), N)
    store.close()
    return out, other, int(x['last']['input_ids'].shape[1])

def host(tmp, clip):
    """With 28 layers, as a 7B model has, but tiny ones: processor seconds of this host a token, before
    any weight is multiplied; and of four copies of the prefix cache."""
    b = backend(tmp, 28)
    seen = b.open(clip, 'c')
    seen.ask('basic', 'What?')
    t = time.process_time()
    n = 0
    for l in CAPTION_LEVELS:
        n += max(1, len(b.tok(seen.ask(l, 'What?').text)['input_ids']))
    made = n; per = (time.process_time() - t)/max(made, 1)
    return dict(layers=28, tokens=made, seconds_per_token=round(per, 5),
                four_cache_copies_s=round(4*cpu(lambda i: copy.deepcopy(seen.cache), 10), 5))

class Stated:
    """A model that takes the stated time for each clip; counts how long it ran, and the processor seconds of its own thread.
    A call of the tiny model that takes longer than stated (its vision tower does, on a processor) is made up for by the other calls of its clip; a clip that cannot is counted as late."""
    def __init__(self, net, prefix_s, answer_s):
        self.net, self.prefix_s, self.answer_s, self.busy, self.cpu, self.late, self.debt = net, prefix_s, answer_s, 0., 0., 0, 0.
    def __getattr__(self, k): return getattr(self.net, k)
    def timed(self, f, stated, a, kw):
        t,c = time.perf_counter(), time.thread_time()
        r = f(*a, **kw)
        self.cpu += time.thread_time() - c
        left = stated - self.debt - (time.perf_counter() - t)
        self.debt = max(0, -left)
        time.sleep(max(0, left))
        self.busy += time.perf_counter() - t
        return r
    def __call__(self, *a, **kw):
        self.late += self.debt > .005
        self.debt = 0.
        return self.timed(self.net, self.prefix_s, a, kw)
    def generate(self, *a, max_new_tokens, **kw):
        return self.timed(self.net.generate, self.answer_s[{
            v: k
            for k, v in TOKENS.items()
        }[max_new_tokens]], a, dict(kw, max_new_tokens=max_new_tokens))

def running(tmp, b, movie, row, prefix, n, ahead=True):
    """A run over n clips of a film, from the file to the store, with a model of the stated time: figures
    (a) and (b)."""
    net = b.net
    b.net = m = Stated(net, *stated_time(row, prefix))
    items = movie_items(movie, 2., F)[:n]
    miner = SemMiner(b, max_asks=1)
    key = lambda sha,cid: caption_key(sha, b, miner.prompts, 20, 1, cid)
    with tempfile.TemporaryDirectory() as d, CaptionStore(d) as store:
        c,t = time.process_time(), time.perf_counter()
        if ahead: assert mine_clips(items, miner, store)[0].new == n
        else:
            [
                _mine_one(miner, cid, _ready_one(miner, cid, load, store, key), store)
                for cid, load in items
            ]
        wall,c = time.perf_counter() - t, time.process_time() - c
    b.net = net; k = len(items)
    return dict(clips=k, model_s_per_clip=round(
        m.busy/k, 3), clips_longer_than_stated=m.late + (m.debt > .005), wall_s_per_clip=round(
            wall/k, 4), a_processor_s_outside_per_clip=round((c - m.cpu)/k, 4), a_share=round(
                (c - m.cpu)/(c - m.cpu + m.busy), 4), b_model_idle_share=round(1 - m.busy/wall, 4))

def alternating(tmp, b, movie, prefix, rounds=4, n=5):
    """Wall seconds a clip with and without work ahead, in rounds that alternate, at the bandwidth limit:
    median and range, and the load meanwhile."""
    took = {True: [], False: []}
    for _ in range(rounds):
        for ahead in took:
            took[ahead].append(
                running(tmp, b, movie, RATES['bandwidth limit'], prefix, n,
                        ahead)['wall_s_per_clip'])
    return {
        **{
            k: dict(median=float(np.median(took[a])), low=min(took[a]), high=max(took[a]))
            for k, a in (('ahead', True), ('nothing ahead', False))
        }, 'rounds': rounds,
        'clips_a_round': n,
        'load': round(os.getloadavg()[0], 1)
    }

def server(delay=.5):
    """Clips a second against a server that takes `delay` seconds an answer, however many it is asked at
    once; server and client share this machine."""
    rows = []
    for n in (1, 2, 4, 8, 16, 32):
        with tempfile.TemporaryDirectory() as d, loopback('--delay', delay) as (url, stats, _):
            k = 4*n
            study = small_study(Path(d)/'s', n=k, f=8, size=64)
            b = ServerBackend(url, 'tiny', 'none', concurrency=n, video='jpeg')
            c0,c,t = stats()['cpu'], time.process_time(), time.perf_counter()
            assert mine_study(study, b).finished
            s,c = time.perf_counter() - t, time.process_time() - c
            st = stats()
            rows.append(
                dict(n=n, clips=k, most_in_flight=st['most'], seconds=round(s, 3),
                     clips_per_s=round(k/s, 3), of_ideal=round(k/s/(n/(4*delay)), 3),
                     client_cpu_s_per_clip=round(c/k, 4), server_cpu_s_per_clip=round(
                         (st['cpu'] - c0)/k, 4)))
    return dict(answer_s=delay, rows=rows)

def real_captions(folder):
    """Tables 4 and 5 and the gates on captions of real clips, by the classifier backend (no language
    model), if the clips are there."""
    from semvideo.captions import check_captions, clip_counter, clip_text_features, gate_table, table4, table5, wordnet
    from semvideo.mllm import ClassifierBackend
    from semvideo.semminer import mine_movie
    if not folder.is_dir(): return 'no folder of real clips here'
    with tempfile.TemporaryDirectory() as d:
        out = mine_movie(sorted(folder.glob('*.mp4')), ClassifierBackend(),
                         Path(d)/'s', clip_s=2., n_frames=8, size=128)
        df = CaptionStore(Path(d)/'s').frame()
    film, twins = df.clip_id.str.rsplit('-', n=1).str[0], {}
    for l in CAPTION_LEVELS[1:]:
        again = df[l].duplicated(keep=False)
        across = again & (film.groupby(df[l]).transform('nunique') > 1)
        twins[l] = dict(of_one_film=int((again & ~across).sum()), of_two_films=int(across.sum()),
                        texts_of_two_films=sorted(set(df[l][across])))
    t4, t5, gates = table4(df, clip_counter()), table5(df, clip_text_features('tiny'),
                                                       wordnet()), gate_table(
                                                           check_captions(df, count=clip_counter()),
                                                           len(df))
    return dict(
        clips=len(df), failed=len(out.failed), backend=df.model[0], table4=t4.T.to_dict(), table5={
            ' | '.join(k): v
            for k, v in t5.T.to_dict().items()
        }, gates={
            k: int(v)
            for k, v in gates.clips.items()
            if v
        }, duplicates=twins,
        note="CLIP-S by the tiny bundle's text encoder, which knows the micro-cinema's "
        "words only")

if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as d:
        tmp = Path(d)
        b = backend(tmp)
        movie = film(tmp)
        steps, seek, prefix = outside(tmp, b, movie)
        h = host(tmp, read_clip(movie, 0, 2, F, threads=1))
        total = sum(steps.values()) + h['four_cache_copies_s']
        runs = {
            k: dict(
                tokens_per_s=round(r['rate'], 2), source=r['source'], model_seconds_per_clip=round(
                    m := stated_time(r, prefix)[0] + sum(stated_time(r, prefix)[1].values()),
                    3), a_share_from_the_steps=round(total/(total + m), 4),
                run=running(tmp, b, movie, r, prefix, N if m < 1 else 8))
            for k, r in RATES.items()
        }
        rounds = alternating(tmp, b, movie, prefix)
        plain = running(tmp, b, movie, RATES['bandwidth limit'], prefix, N, ahead=False)
        real_film = here.parent.parent/'shared'/'clips'/'tears_of_steel.mp4'
        real = running(tmp, b, real_film, RATES['bandwidth limit'], prefix,
                       N) if real_film.is_file() else 'no such film here'
    git = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], cwd=here, capture_output=True,
                         text=True).stdout.strip()
    cpu_name = next(
        (l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')),
        platform.machine())
    res = dict(
        what='mining: time outside the model, whether the model waits, and a server kept '
        'busy', date=datetime.date.today().isoformat(), commit=git, machine=dict(
            cpu=cpu_name, cores=os.cpu_count(), python=platform.python_version(),
            load=round(os.getloadavg()[0], 1)),
        outside=dict(
            frames=F, side=SIDE, clips=N, processor_seconds_per_clip={
                **{
                    k: round(v, 5)
                    for k, v in steps.items()
                }, 'four copies of the prefix cache': h['four_cache_copies_s']
            }, total=round(total, 5), decode_with_a_seek_for_each_clip=round(seek, 5)), counts=dict(
                prefix_tokens=prefix, question_tokens=f'4 x {QUESTION}', answer_tokens=TOKENS,
                parameters=PARAMETERS, bytes=BYTES), host=h, runs=runs, without_working_ahead=plain,
        wall_seconds_in_alternating_rounds=rounds, real_film_at_the_bandwidth_limit=real, limit=
        '5 % of the wall time of a run may pass while the model does not run (b_model_idle_share)',
        server=server(),
        **(dict(real_captions=real_captions(here.parent.parent/'shared'/
                                            'clips')) if '--real' in sys.argv else {}))
    write_json(here/'results'/'bench_semminer.json', res)
    print(json.dumps(res, indent=1))
