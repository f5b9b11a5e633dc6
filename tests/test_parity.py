"""Every network metric against its source's procedure, written here from the definition or done by the
libraries that the source uses; folders as the sources leave them; and what must be refused."""
import os
os.environ.setdefault('HF_HUB_OFFLINE', '1')
import numpy as np, pandas as pd, pytest, torch
from pathlib import Path
from PIL import Image
from semvideo import folders as S, metrics as M
from semvideo.core import SemvideoError, ensure_torchvision, read_json
from semvideo.protocols import PROTOCOLS
from semvideo.published import leaderboard, what_differs
from metrics_help import noisy, rng

def smooth(b=3, f=6, h=64, w=64, seed=0):
    "Clips of any shape, smooth in space and moving."
    import cv2
    big = rng(seed).integers(0, 256, (b, h//4+2*f, w//4+2*f, 3), dtype=np.uint8)
    big = [cv2.resize(x, (4*x.shape[1], 4*x.shape[0]), interpolation=cv2.INTER_CUBIC) for x in big]
    return np.stack([[x[2*k:2*k+h, 3*k:3*k+w] for k in range(f)] for x in big])

@pytest.fixture(scope='module')
def judges(tmp_path_factory):
    "The field's classes at toy size, with processors in the hub's layout."
    ensure_torchvision()
    import transformers as T
    folder = M.random_judges(tmp_path_factory.mktemp('judges'), size=32, frames=16)
    T.ViTImageProcessor(size=dict(height=32, width=32), resample=2).save_pretrained(folder/'image_classifier')
    square = dict(size=dict(shortest_edge=32), crop_size=dict(height=32, width=32))
    T.VideoMAEImageProcessor(**square, resample=2).save_pretrained(folder/'video_classifier')
    T.CLIPImageProcessor(**square, resample=3).save_pretrained(folder/'clip')
    return folder

# ---- what a judge sees -------------------------------------------------------------------------------------

@pytest.mark.parametrize('shape', [(260, 259), (516, 515), (36, 64), (64, 36), (45, 47), (32, 32), (33, 40), (100, 33)])
@pytest.mark.parametrize('part', ['image_classifier', 'clip'])
def test_frames_are_those_of_the_processors(judges, part, shape):
    "Sizes of the grid's halves and of films; rounding, crop and resampling are the library's own."
    from transformers import AutoImageProcessor
    ensure_torchvision()
    x = smooth(1, 2, *shape)[0]
    processor = AutoImageProcessor.from_pretrained(judges/part)
    theirs = processor(images=list(x), return_tensors='pt')['pixel_values'].numpy()
    ours = M.prepare_frames(x, **M.pixel_settings(judges/part, 32)).numpy()
    assert ours.shape == theirs.shape and abs(ours-theirs).max() < 1e-5

def test_an_edge_that_is_not_the_crop(tmp_path):
    "Shorter edge to 40, then the centre 32: the two are different settings."
    import transformers as T
    ensure_torchvision()
    p = T.CLIPImageProcessor(size=dict(shortest_edge=40), crop_size=dict(height=32, width=32))
    p.save_pretrained(tmp_path)
    x = smooth(1, 2, 52, 90)[0]
    theirs = p(images=list(x), return_tensors='pt')['pixel_values'].numpy()
    settings = M.pixel_settings(tmp_path, 32)
    assert settings['edge'] == 40 and settings['side'] == 32
    assert abs(M.prepare_frames(x, **settings).numpy()-theirs).max() < 1e-5

@pytest.mark.parametrize('frames', [4, 6, 8, 12])
def test_the_video_judge_is_built_for_the_clips_own_frames(judges, frames):
    "As the scripts do: from_pretrained(num_frames=F), and the processor of the same folder."
    import transformers as T
    ensure_torchvision()
    x = smooth(2, frames, 52, 51)
    net = T.VideoMAEForVideoClassification.from_pretrained(judges/'video_classifier', num_frames=frames).eval()
    processor = T.VideoMAEImageProcessor.from_pretrained(judges/'video_classifier')
    with torch.inference_mode():
        theirs = [net(**processor(list(clip), return_tensors='pt')).logits[0].numpy() for clip in x]
    m = M.load_models(judges)
    assert abs(m.video_logits(x, frames)-theirs).max() < 1e-4
    table = M.evaluate(noisy(x), x, 'MinD-Video', m, metrics=['50-way-V'])
    assert table.attrs['video_frames'] == frames and 'judged at' not in table.variant.iloc[0]
    strict = M.evaluate(noisy(x), x, models=m, metrics=['50-way-V'])
    assert strict.attrs['video_frames'] == 16 and 'judged at 16 frames' in strict.variant.iloc[0]

def test_five_frames_are_too_odd_for_it(judges):
    x = smooth(2, 5)
    m = M.load_models(judges)
    with pytest.raises(SemvideoError, match='cannot be built for this many frames'):
        M.evaluate(x, x, 'paper', m, video_frames='clip', metrics=['2-way-V'])
    # unasked, the judge is shown what it was loaded for, and the variant says so
    assert 'judged at 16 frames' in M.evaluate(x, x, 'paper', m, metrics=['2-way-V']).variant.iloc[0]

# ---- VIFI --------------------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def vifi_file(tmp_path_factory):
    "A random ViT-B/16-shaped tower (narrow) in the authors' checkpoint layout, and the tower itself."
    ensure_torchvision()
    open_clip = pytest.importorskip('open_clip')
    from open_clip.transformer import VisionTransformer
    torch.manual_seed(0)
    tower = VisionTransformer(image_size=224, patch_size=16, width=64, layers=2, heads=1, mlp_ratio=4.,
                              output_dim=24, act_layer=open_clip.transformer.QuickGELU, pool_type='tok').eval()
    state = {f'module.image_encoder.{k}': v for k,v in tower.state_dict().items()}
    state['module.prompt_learner.token_prefix'] = torch.zeros(2, 3)
    state['module.logit_scale'] = torch.tensor(4.6)
    path = tmp_path_factory.mktemp('vifi')/'k400_seed1_vifi_clip_base2novel.pth'
    import sys, types
    yacs,config_of = types.ModuleType('yacs'),types.ModuleType('yacs.config') # its settings are a dict with attributes
    class CfgNode(dict): pass
    CfgNode.__module__,CfgNode.__qualname__ = 'yacs.config','CfgNode'
    config_of.CfgNode = CfgNode
    config = CfgNode(DATA=CfgNode(NUM_FRAMES=16))
    config.__dict__['__immutable__'] = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, 'yacs', yacs)
        patch.setitem(sys.modules, 'yacs.config', config_of)
        torch.save(dict(model=state, optimizer=dict(state={}, param_groups=[]), max_accuracy=np.float64(71.3), epoch=9,
                        config=config), path)
    return path, tower

def sampler(total, window=8, windows=16):
    "SampleFrames in test mode, as its documentation states it, index by index."
    span = (total-window+1)/float(windows)
    rows = []
    for k in range(windows):
        start = int(k*span+span/2.) if total > window-1 else 0
        rows += [(start+j) % total for j in range(window)]
    return rows

def vifi_features(tower, clip):
    "Mind-Animator's pipeline for one clip, step by step with OpenCV."
    import cv2
    mean,std = np.array([123.675, 116.28, 103.53]),np.array([58.395, 57.12, 57.375])
    out = []
    for i in sampler(len(clip)):
        f = clip[i]
        for edge in (512, 256):
            h,w = f.shape[:2]
            f = cv2.resize(f, (int(w*edge/max(h, w)+.5), int(h*edge/max(h, w)+.5)), interpolation=cv2.INTER_LINEAR)
        h,w = f.shape[:2]
        y,x = (h-224)//2,(w-224)//2
        f = (f[y:y+224, x:x+224].astype(np.float32)-mean)/std
        out.append(torch.from_numpy(f).permute(2, 0, 1).float())
    with torch.inference_mode(): feats = tower(torch.stack(out)).mean(0)
    return (feats/feats.norm()).numpy()

@pytest.mark.parametrize('frames,size', [(6, (256, 256)), (8, (260, 259)), (12, (128, 128)), (16, (516, 515))])
def test_vifi_is_mind_animators(vifi_file, frames, size):
    path,tower = vifi_file
    t = smooth(2, frames, *size)
    r = noisy(t, 30)
    m = M.Models(dict(vifi=M.load_vifi(path)))
    theirs = [float(vifi_features(tower, a) @ vifi_features(tower, b)) for a,b in zip(r, t)]
    assert abs(M.vifi_score(r, t, models=m)-theirs).max() < 1e-3
    assert m.vifi_name().startswith('k400_seed1_vifi_clip_base2novel-')

@pytest.mark.parametrize('total', range(1, 40))
def test_how_often_each_frame_counts(total):
    assert np.array_equal(M.sampled_weights(total), np.bincount(sampler(total), minlength=total))

def test_the_order_of_mean_and_length_matters(judges):
    "Unit of the mean, not mean of units: frames of unlike length tell them apart."
    m = M.load_models(judges)
    x = smooth(2, 6)
    f = m.clip_image(x).astype(float)
    f[:, 0] *= 5
    m.clip_image = lambda *a: f
    mean = (f*np.array([2, 2, 1, 1, 1, 1])[:, None]).sum(1)
    want = mean/np.linalg.norm(mean, axis=1, keepdims=True)
    assert np.allclose(m.vifi(x), want)

def test_the_authors_file_runs_nothing_and_others_are_refused(vifi_file, tmp_path):
    path,_ = vifi_file
    import safetensors.torch as st
    class Evil:
        def __reduce__(self): return (print, ('ran',))
    torch.save(dict(model={}, config=Evil()), tmp_path/'evil.pth')
    good = M.load_vifi(path)[0]
    def says(file, words):
        with pytest.raises(SemvideoError, match=words) as e: M.load_vifi(file)
        assert str(file) in str(e.value)
    says(tmp_path/'evil.pth', 'safely')
    says(tmp_path/'none.pth', 'not found')
    torch.save([1, 2], tmp_path/'list.pth')
    says(tmp_path/'list.pth', 'Not a state dict')
    resnet = {'image_encoder.conv1.weight': torch.zeros(32, 3, 3, 3), 'image_encoder.bn1.weight': torch.zeros(32)}
    torch.save(resnet, tmp_path/'resnet.pth')
    says(tmp_path/'resnet.pth', 'another architecture')
    cut = {f'image_encoder.{k}': v for k,v in vifi_file[1].state_dict().items()}
    cut.pop('image_encoder.transformer.resblocks.1.ln_1.weight')
    torch.save(cut, tmp_path/'cut.pth')
    says(tmp_path/'cut.pth', 'another architecture')
    (tmp_path/'x.safetensors').write_bytes(b'no')
    says(tmp_path/'x.safetensors', 'cannot be read')
    st.save_file({f'image_encoder.{k}': v.contiguous() for k,v in vifi_file[1].state_dict().items()}, tmp_path/'ok.safetensors')
    again = M.load_vifi(tmp_path/'ok.safetensors')[0]
    assert all(torch.equal(a, b) for a,b in zip(again.state_dict().values(), good.state_dict().values()))

def test_after_an_avi_as_opencv_writes_it():
    "Against decord, which the source reads with: swapped colours, an odd size cut to even."
    decord = pytest.importorskip('decord')
    import cv2, tempfile
    x = smooth(1, 6, 68, 67)
    got = M.avi_clips(x)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder)/'x.avi')
        film = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'XVID'), 4, (67, 68))
        for f in x[0]: film.write(np.ascontiguousarray(f))
        film.release()
        theirs = decord.VideoReader(path)[:].asnumpy()
    assert got[0].shape == theirs.shape and abs(got[0].astype(int)-theirs).mean() < 1
    h,w = got.shape[2:4]
    back = abs(got[0][..., ::-1].astype(int)-x[0, :, :h, :w]).mean()
    assert back < 20 < abs(got[0].astype(int)-x[0, :, :h, :w]).mean()
    assert abs(M.avi_clips(x, swapped=False)[0].astype(int)-x[0, :, :h, :w]).mean() < 20

# ---- n-way -------------------------------------------------------------------------------------------------

def test_trials_are_drawn_for_each_frame(judges):
    "Six frames of 100 draws each are as sure as 600 draws, not as 100."
    x = np.repeat(smooth(60, 6), 1, 0)
    m = M.load_models(judges)
    pair = M.Pair(np.roll(x, 1, 0), x, m)
    plain = M.evaluate(pair.recon, x, 'NEURONS', m, metrics=['50-way-I'], gif=False)
    once = M.evaluate(pair.recon, x, 'NEURONS', m, metrics=['50-way-I'], gif=False, draw=True)
    p = M.n_way_accuracy(*(v.reshape(-1, 64) for v in pair.image), 50).reshape(60, 6)
    sd = np.sqrt((p*(1-p)/100).sum(1))/6
    z = (once.value-plain.value)[sd > 0]/sd[sd > 0]
    assert .75 < z.std() < 1.3 # drawn per clip it would be sqrt(6) as wide
    spread = plain.attrs['spread'][0]
    assert spread['spread'] == pytest.approx(np.sqrt(p*(1-p)/100).mean()) and 'trials' in spread['spread_of']

def test_spread_of_the_others_is_that_of_clips(judges):
    t = smooth(5)
    e = M.evaluate(noisy(t), t, 'NEURONS', None, gif=False)
    for row in e.attrs['spread']:
        assert row['spread'] == pytest.approx(np.std(e.value[e.metric == row['metric']]))

def test_half_precision_against_torch():
    z = rng(0).normal(size=(40, 1000))*6
    theirs = torch.tensor(z, dtype=torch.float32).half().softmax(-1).float().numpy()
    ours = M.half_softmax(z)
    assert (ours == theirs).mean() > .999 and abs(ours-theirs).max() < 1e-3 and (ours == 0).mean() > .5
    def plain(scores, labels, trials=300): # the field's loop, ties as argsort leaves them
        r = rng(1)
        rest = [k for k in range(1000) if k not in labels]
        won = 0
        for k in r.choice(rest, trials):
            won += any(torch.stack([scores[g], scores[k]]).argsort()[-1] == 0 for g in labels)
        return won/trials
    t = rng(2).normal(size=(25, 1000))
    loop = [plain(torch.tensor(z[i], dtype=torch.float32).half().softmax(-1), set(t[i].argsort()[-3:])) for i in range(25)]
    assert abs(np.mean(loop)-M.n_way_accuracy(ours[:25], t, 2).mean()) < .03
    assert M.n_way_accuracy(z, rng(3).normal(size=z.shape), 2).mean()-M.n_way_accuracy(ours, rng(3).normal(size=z.shape), 2).mean() > .1

# ---- pixels ------------------------------------------------------------------------------------------------

def test_psnr_is_exact_and_faster_than_the_field():
    import time
    from skimage.metrics import peak_signal_noise_ratio as theirs
    t = smooth(4, 8, 256, 256)
    r = noisy(t)
    best = [9., 9.]
    for _ in range(4):
        start = time.process_time()
        want = [np.mean([theirs(b, a, data_range=255) for a,b in zip(x, y)]) for x,y in zip(r, t)]
        middle = time.process_time()
        got = M.psnr(r, t)
        best = [min(best[0], middle-start), min(best[1], time.process_time()-middle)]
    assert np.allclose(got, want, rtol=1e-13) and best[1] < best[0]

# ---- after a GIF -------------------------------------------------------------------------------------------

def through_gif(folder, clips, duration=250):
    "Clips written and read as the field does, by imageio."
    import imageio.v3 as iio
    folder.mkdir()
    for i,c in enumerate(clips): iio.imwrite(folder/f'test{i+1}.gif', c, duration=duration, loop=0)
    read = [iio.imread(folder/f'test{i+1}.gif', index=None) for i in range(len(clips))]
    return np.stack(read) if len({x.shape for x in read}) == 1 else read

def test_each_metric_of_mind_animator_takes_its_own_path(tmp_path):
    import cv2
    t = smooth(3, 8, 64, 64)
    r = noisy(t, 25)
    own = through_gif(tmp_path/'own', r)
    grids = np.zeros((3, 8, 68, 134, 3), np.uint8)
    grids[:, :, 2:-2, 2:66],grids[:, :, 2:-2, 68:132] = t,r
    left,right = np.split(through_gif(tmp_path/'grid', grids), 2, axis=3)
    back = np.stack([[cv2.resize(np.ascontiguousarray(f), (64, 64)) for f in c] for c in left])
    e = M.evaluate(r, t, 'Mind-Animator', None, chance=False, epe_size=64).set_index('metric')
    assert np.allclose(e.value['SSIM'], M.ssim(own, t, 'paper'), atol=1e-3)
    assert np.allclose(e.value['PSNR'], M.psnr(own, t), atol=1e-2)
    assert np.allclose(e.value['Hue-pcc'], M.hue_pcc(right, left, 'paper'), atol=1e-3)
    assert np.allclose(e.value['EPE'], M.flow_epe(own, back, 'paper', size=64), atol=1e-2)
    assert e.variant['EPE'].iloc[0] == 'Mind-Animator after a GIF of its own, truth from the grid'
    assert e.variant['SSIM'].iloc[0] == 'Mind-Animator after a GIF of its own'
    plain = M.evaluate(r, t, 'Mind-Animator', None, chance=False, epe_size=64, gif=False).set_index('metric')
    assert set(plain.variant) == {'Mind-Animator'} and (plain.value['PSNR'] != e.value['PSNR']).all()
    assert set(M.evaluate(r, t, 'SemVideo', None, chance=False, epe_size=64).variant) == {'SemVideo'}

def test_frames_that_a_gif_left_out_are_there(tmp_path):
    t = smooth(3, 6, 32, 32)
    t[0] = t[0][[0, 0, 1, 2, 2, 2]]
    t[1] = t[1][:1] # stands still: one stored frame
    through_gif(tmp_path/'g', t)
    assert S.gif_times(tmp_path/'g/test1.gif') == [500, 250, 750] and len(S.gif_times(tmp_path/'g/test2.gif')) == 1
    np.save(tmp_path/'t.npy', t)
    names,got,_ = S.load_pairs(tmp_path/'g', tmp_path/'t.npy', folder=tmp_path)
    assert names == ['test1', 'test2', 'test3'] and got.shape == t.shape
    assert abs(np.asarray(got).astype(int)-t).mean() < 12 # 256 colours
    assert [np.array_equal(got[0][i], got[0][i+1]) for i in range(5)] == [True, False, False, True, True]
    # a folder of still clips has no step of its own: the rate is said
    through_gif(tmp_path/'still', t[1:2].repeat(2, 0))
    assert len(S.clip_frames(tmp_path/'still/test1.gif')) == 1
    assert S.clip_frames(tmp_path/'still/test1.gif', step=250).shape == t[0].shape

def test_uneven_times_are_refused_or_sampled_by_time(tmp_path):
    frames = [Image.fromarray(np.full((16, 16, 3), v, np.uint8)) for v in (10, 90, 170)]
    frames[0].save(tmp_path/'a.gif', save_all=True, append_images=frames[1:], duration=[250, 330, 920])
    with pytest.raises(SemvideoError, match='uneven times'): S.clip_frames(tmp_path/'a.gif')
    shown = S.clip_frames(tmp_path/'a.gif', frames=6)[:, 0, 0, 0] # at 125, 375, 625 ... of 1500 ms
    assert abs(shown.astype(int)-[10, 90, 170, 170, 170, 170]).max() < 6

# ---- what can be given -------------------------------------------------------------------------------------

def test_arrays_folders_one_clip_and_torch_layouts(tmp_path):
    t = smooth(4, 6, 32, 32)
    r = noisy(t)
    (tmp_path/'f').mkdir()
    for i,c in enumerate(r): np.save(tmp_path/f'f/clip{i}.npy', c)
    arrays = dict(u8=t, unit=t.astype(np.float32)/255, wide=t.astype(np.float64), channels=np.moveaxis(t, -1, 1)/np.float32(255),
                  frames=np.moveaxis(t, -1, 2), integers=t.astype(np.int64))
    for k,x in arrays.items():
        np.save(tmp_path/f'{k}.npy', x)
        names,a,b = S.load_pairs(tmp_path/'f', tmp_path/f'{k}.npy', folder=tmp_path)
        assert names == [f'clip{i}' for i in range(4)]
        assert np.array_equal(np.asarray(a), r) and np.array_equal(np.asarray(b), t), k
        names,a,b = S.load_pairs(tmp_path/f'{k}.npy', tmp_path/'f', folder=tmp_path)
        assert np.array_equal(np.asarray(a), t)
    res = S.score(tmp_path/'f', tmp_path/'channels.npy', tmp_path/'o', models=None, block=1)
    assert res.set_index('metric').value['PSNR'] == pytest.approx(M.psnr(r, t).mean())
    half = S.load_pairs(tmp_path/'unit.npy', tmp_path/'u8.npy', frames=3, size=16, folder=tmp_path)
    assert half[1].shape == (4, 3, 16, 16, 3)
    through_gif(tmp_path/'g', t)
    one = S.score(tmp_path/'g/test1.gif', tmp_path/'g/test1.gif', tmp_path/'o1', models=None)
    assert one.set_index('metric').value['SSIM'] == pytest.approx(1) # one clip
    dark = np.zeros((2, 6, 32, 32, 3)); dark[1] = 200.; dark[0] = .5 # floats of 0..255 with a dark clip
    np.save(tmp_path/'dark.npy', dark)
    assert np.asarray(S.load_pairs(tmp_path/'dark.npy', tmp_path/'dark.npy', folder=tmp_path)[1])[0].max() <= 1

def test_a_file_of_clips_is_read_as_an_array_is(tmp_path):
    x = rng(0).integers(0, 256, (7, 3, 4, 5, 3), dtype=np.uint8)
    f = M.write_clips(tmp_path/'x.npy', x, 7, x.shape[1:])
    for key in (0, -1, 3, slice(2, 5), slice(None), slice(None, None, -1), slice(1, 6, 2), [4, 0], np.array([2, 2]), (2, 1),
                (slice(None), slice(0, 1)), (Ellipsis, slice(None, None, -1)), np.arange(7) % 2 == 0, slice(5, 2), []):
        assert np.array_equal(np.asarray(f[key]), x[key]), key
    assert np.array_equal(np.load(tmp_path/'x.npy'), x) and all(np.array_equal(a, b) for a,b in zip(f, x))
    with pytest.raises(IndexError): f[7]

@pytest.mark.long
def test_memory_of_a_score_is_flat(tmp_path):
    """Forty clips more, without networks: beside the cache of flows, here 4 MB instead of its 64, what the
    process itself holds does not grow by one copy of them (reading them in blocks of 64 clips held two). Pages of the files, which the system may drop
    at any time, are not counted."""
    import subprocess, sys
    code = ('import sys, threading\nfrom semvideo.flow import FlowCache\nfrom semvideo.folders import score\n'
            'FlowCache.__init__.__defaults__ = (4 << 20,)\npeak, ended = [0], threading.Event()\n'
            'def own(): return int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0])\n'
            'def watch():\n    while not ended.wait(.01): peak[0] = max(peak[0], own())\n'
            'threading.Thread(target=watch).start()\n'
            'try: score(sys.argv[1], sys.argv[2], sys.argv[3], models=None, block=2)\nfinally: ended.set()\nprint(peak[0])')
    peak, shape = {}, (2, 256, 256, 3)
    for n in (24, 64): # a block of 8 MB is full in both
        for name,seed in (('p', 0), ('t', 1)):
            M.write_clips(tmp_path/f'{name}{n}.npy', (smooth(1, *shape[:3], seed*1000+i)[0] for i in range(n)), n, shape)
        run = subprocess.run([sys.executable, '-c', code, *(str(tmp_path/f'{k}{n}.npy') for k in 'pt'), str(tmp_path/f'o{n}')],
                             capture_output=True, text=True, check=True)
        peak[n] = int(run.stdout.split()[-1])/1024
    print(peak)
    assert peak[64] - peak[24] < 40*np.prod(shape)/2**20 # one copy of the further clips, 15 MB

# ---- one word per source -----------------------------------------------------------------------------------

def test_a_word_fixes_what_its_source_fixes(judges, tmp_path, vifi_file, capsys):
    from semvideo.cli import main
    t = smooth(2, 16, 40, 40)
    np.save(tmp_path/'t.npy', t)
    np.save(tmp_path/'p.npy', noisy(t))
    want = dict(zip(PROTOCOLS, ((6, 256), (6, 256), (8, 512), (6, 256), (12, 40))))
    for word in ('neurons', 'semvideo'):
        frames,size = want[word]
        assert not main(['score', str(tmp_path/'p.npy'), str(tmp_path/'t.npy'), '--as', word, '--models', str(judges),
                         '--vifi', str(vifi_file[0]), '--out', str(tmp_path/word)])
        said = capsys.readouterr().out
        how = read_json(tmp_path/word/'how.json')
        assert how['shape'][1] == frames == how['video_frames'] and how['shape'][2] == size and how['protocol'] == word
        assert f'{frames} of the 16 frames' in said and f'video judge built for {frames} frames' in said
        table = pd.read_csv(tmp_path/word/'results.csv')
        assert {'spread', 'spread_of', 'sd'} <= set(table)
        gifs = table.variant.str.contains('GIF')
        assert gifs.all() if PROTOCOLS[word].gif else not gifs.any()
    assert 'clip_large' in read_json(tmp_path/'neurons/how.json')['did'][-1]
    sem = pd.read_csv(tmp_path/'semvideo/results.csv').set_index('metric')
    assert sem.variant['VIFI-score'] == 'SemVideo' and len(sem) == 10

def test_too_few_frames_are_refused_before_anything_is_scored(tmp_path, judges):
    t = smooth(2, 5)
    np.save(tmp_path/'t.npy', t)
    with pytest.raises(SemvideoError, match='too short to be scored as Mind-Animator'):
        S.score(tmp_path/'t.npy', tmp_path/'t.npy', tmp_path/'o', models=judges, protocol='mind-animator')
    assert not (tmp_path/'o').exists()

# ---- stand-ins ---------------------------------------------------------------------------------------------

def test_a_stand_in_says_so_and_the_hub_has_none(judges):
    t = smooth(4)
    m = M.load_models(judges)
    e = M.evaluate(noisy(t), t, 'paper', m, source='all', chance=False, epe_size=64)
    vifi = e[e.metric == 'VIFI-score']
    assert vifi.variant.str.contains('for ViFi-CLIP').all()
    clip = e[e.metric == 'CLIP-pcc'].variant
    assert clip[clip.str.startswith('NEURONS')].str.contains('for CLIP L/14').all()
    assert clip[~clip.str.startswith('NEURONS')].str.contains('for ViFi-CLIP').all()
    m.standins = False # as models='hub' loads them
    left = M.evaluate(noisy(t), t, 'paper', m, source='all', chance=False, epe_size=64)
    assert not left.metric.isin(['VIFI-score', 'CLIP-pcc']).any()
    assert 'k400_seed1_vifi' in left.attrs['left_out']['VIFI-score (SemVideo)']
    with pytest.raises(SemvideoError, match='has no judge'): M.evaluate(t, t, models=m, metrics=['VIFI-score'])

def test_the_leaderboard_says_what_differs():
    t = smooth(6)
    e = M.evaluate(noisy(t), t, 'paper', None, chance=False, epe_size=64)
    e.attrs['models'] = dict(image_classifier='vit-base-patch16-224@3f49326', clip='clip-vit-base-patch32@3d74acf')
    board,notes = leaderboard(e, 'mine', data='cc2017')
    assert board.iloc[-1].drop('method').isna().all()
    assert 'clips 6, not 1200; frames 6, not 12; frame rate not given' in notes.loc['SSIM', 'mine']
    e.attrs.update(shape=[1200, 12, 64, 64], fps=6., clips=1200)
    assert np.isfinite(leaderboard(e, 'mine', data='cc2017')[0].iloc[-1].SSIM)
    judged = dict(e.attrs)
    assert what_differs('CLIP-pcc', 'SemVideo', judged) == ['no k400_seed1_vifi_clip_base2novel']
    assert what_differs('2-way-I', 'SemVideo', judged) == []
    other = judged|dict(models=dict(image_classifier='efficientnet-lite0'))
    assert what_differs('2-way-I', 'SemVideo', other) == ['efficientnet-lite0 for vit-base-patch16-224']
    assert what_differs('EPE', 'Mind-Animator', judged|dict(fps=4., shape=[1200, 8, 512, 512])) == ['not after a GIF']
    assert what_differs('2-way-V', 'SemVideo', judged|dict(video_frames=16, models=dict(
        video_classifier='videomae-base-finetuned-kinetics@488eb9a'))) == ['frames shown to the judge 16, not 12']

# ---- refused in one line -----------------------------------------------------------------------------------

def test_a_judge_without_weights_or_of_another_kind(judges, tmp_path):
    import shutil
    d = shutil.copytree(judges, tmp_path/'b')
    (d/'clip/model.safetensors').unlink()
    with pytest.raises(SemvideoError, match='Cannot load clip'): M.load_models(d)
    shutil.rmtree(d/'clip')
    shutil.copytree(d/'image_classifier', d/'clip')
    with pytest.raises(SemvideoError, match='another architecture for clip'): M.load_models(d)
    for part in ('clip', 'video_classifier'): # the right config, another network's weights
        shutil.rmtree(d/part)
        shutil.copytree(judges/part, d/part)
        shutil.copy(judges/'image_classifier/model.safetensors', d/part/'model.safetensors')
        with pytest.raises(SemvideoError, match=r'Weights are missing(?s:.)*\d+ not there or of another shape'): M.load_models(d, parts=[part])

def test_deep_frames_and_frames_one_can_see_through(tmp_path):
    x = smooth(1, 2, 32, 32)
    for bad,says in ((x.astype(np.uint16)*257, r'uint16 in \d+..\d+'), (x/255.*1.001, '1.001'),
                     (np.concatenate([x, x[..., :1]], -1), 'alpha')):
        np.save(tmp_path/'x.npy', bad)
        with pytest.raises(SemvideoError, match=says): S.load_pairs(tmp_path/'x.npy', tmp_path/'x.npy', folder=tmp_path)
    (tmp_path/'f/a').mkdir(parents=True)
    def save(image, name='0.png'):
        image.save(tmp_path/'f/a'/name)
        return lambda: S.clip_frames(tmp_path/'f/a')
    clear = np.concatenate([x[0, 0], np.full((32, 32, 1), 9, np.uint8)], -1)
    for image,says in ((Image.fromarray(x[0, 0, ..., 0].astype(np.uint16)*257), '8 bits'), (Image.fromarray(clear), 'seen through')):
        with pytest.raises(SemvideoError, match=says): save(image)()
    opaque = np.concatenate([x[0, 0], np.full((32, 32, 1), 255, np.uint8)], -1)
    assert np.array_equal(save(Image.fromarray(opaque))()[0], x[0, 0])

def test_rates_within_a_side_and_between_gif_and_movie(tmp_path):
    from semvideo.video import write_video
    t = smooth(3, 6, 32, 32)
    for k in 'ab': (tmp_path/k).mkdir()
    for i,c in enumerate(t):
        write_video(tmp_path/f'a/test{i+1}.mp4', c, 4, crf=1)
        write_video(tmp_path/f'b/test{i+1}.mp4', c, 4 if i else 3, crf=1)
    with pytest.raises(SemvideoError, match='one side differ in frame rate'):
        S.load_pairs(tmp_path/'a', tmp_path/'b', folder=tmp_path)
    through_gif(tmp_path/'g', t, 125)
    with pytest.raises(SemvideoError, match='4 and 8.33|8.33 and 4|differ in frame rate'):
        S.load_pairs(tmp_path/'g', tmp_path/'a', folder=tmp_path)
    through_gif(tmp_path/'h', t, 250)
    assert S.load_pairs(tmp_path/'h', tmp_path/'a', folder=tmp_path)[1].shape == t.shape
