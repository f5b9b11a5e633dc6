"Training: resume, validation, repeats, refusals, and a decoder that starts as good as ridge."
import numpy as np, pandas as pd, pytest, torch
from semvideo import sad, train
from semvideo.core import SemvideoError, Study, rng_for
from semvideo.sad import SAD
from semvideo.targets import target
from semvideo.toy import TOY_MAD, TOY_SAD, toy_study as small_study
from semvideo.train import TrainConfig

TOY = dict(tokens=4, width=6, hidden=12, mlp=(16, 16, 16), layers=1, heads=1, dim_head=4,
           refine_rows=4)
FAST = TrainConfig(epochs=4, batch=16, lr=1e-3, repeats='average', projector='ridge', noise=1.,
                   save_every=1)

def toy_study(path, n=(64, 24), voxels=(20, 25)):
    r = rng_for('test_train')
    N = sum(n)
    said = r.normal(size=(N, 5))
    split = ['train']*n[0]+['test']*n[1]
    clips = pd.DataFrame(
        dict(clip_id=[f'c{i}' for i in range(N)], split=split,
             segment=[f'seg{i//(n[0]//4)}' if i < n[0] else 'test1' for i in range(N)],
             onset_s=np.arange(N)*2., duration_s=2., source='toy'))
    study = Study.create(path, 'toy', 'test', clips)
    y = np.tanh(said@r.normal(size=(5, 24))).reshape(N, 4, 6)
    for s,i in dict(train=slice(0, n[0]), test=slice(n[0], N)).items():
        for level in ('anchor', 'motion', 'holistic'):
            with study.new_npy(f'targets/{s}/{level}.npy', y[i].shape, np.float32) as a:
                a[:] = y[i]
        for k,v in enumerate(voxels, 1):
            study.save_fmri(k, s, (said[i] @ rng_for(k).normal(size=(5, v)))[:, None] +
                            2*r.normal(size=(n[s == 'test'], 2 if s == 'train' else 10, v)))
    study.stage('targets', {}).finish()
    return study

@pytest.fixture(scope='module')
def study(tmp_path_factory): return toy_study(tmp_path_factory.mktemp('toy')/'study')

def make(seed=0, **kw):
    torch.manual_seed(seed)
    return SAD({1: 20, 2: 25}, sad.SAD_MINIATURE, **{**TOY, **kw})
def same(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k,v in a.state_dict().items())

@pytest.mark.parametrize('projector, repeats', [('ridge', 'average'), ('train', 'separate'), ('ridge-start', 'mix')])
@pytest.mark.parametrize('cut', [1, 3])
def test_cut_and_resumed_is_the_same_run(study, tmp_path, cut, projector, repeats):
    c = FAST.replace(projector=projector, repeats=repeats)
    a,b = make(),make()
    data = train.training_data(study, a)
    held = data.segment == 'seg3'
    train.run(a, data, c, ~held, held, tmp_path/'a')
    train.run(b, data, c, ~held, held, tmp_path/'b', stop_after=cut)
    fresh = make(seed=5)
    train.run(fresh, data, c, ~held, held, tmp_path/'b')
    assert same(a, fresh) and not same(a, make())

def test_a_run_leaves_the_callers_random_numbers_alone(study):
    m = make()
    data = train.training_data(study, m)
    torch.manual_seed(1)
    want = torch.rand(3)
    torch.manual_seed(1)
    train.run(m, data, FAST.replace(epochs=1), np.ones(64, bool))
    assert torch.equal(torch.rand(3), want)

def test_validation_holds_whole_segments_and_changes_nothing_else(study, tmp_path):
    r = train.fit(make(), study, FAST)
    assert 'val_identification' in r.table() and r.best <= FAST.epochs
    assert not [e for e in study.events() if e.get('split') == 'test']
    with pytest.raises(SemvideoError, match='all training segments'):
        train.fit(make(), study, FAST.replace(validate=4))
    with pytest.raises(SemvideoError, match='trains nothing'):
        train.training_data(study, make(), split='test')

def test_refit_uses_all_segments(study):
    assert len(train.fit(make(), study, FAST.replace(refit=True)).history) == FAST.epochs

def test_saved_and_loaded_is_the_same(study, tmp_path):
    r = train.fit(make(), study, FAST.replace(validate=0), out=tmp_path/'m')
    again = train.load(tmp_path/'m')
    x = torch.randn(3, 20)
    with torch.no_grad(): assert torch.equal(again(x, 1), r.module(x, 1))
    assert sorted(p.name for p in (tmp_path/'m').iterdir()) == [
        'config.json', 'history.csv', 'model.safetensors'
    ]
    (tmp_path/'m/model.safetensors').write_bytes(b'x'*40)
    with pytest.raises(SemvideoError, match='safetensors'): train.load(tmp_path/'m')

def test_checkpoint_of_other_settings_is_refused(study, tmp_path):
    data = train.training_data(study, make())
    train.run(make(), data, FAST, np.ones(64, bool), out=tmp_path, stop_after=1)
    with pytest.raises(SemvideoError, match='another run'):
        train.run(make(), data, FAST.replace(lr=.1), np.ones(64, bool), out=tmp_path)

def test_divergence_is_told(study):
    with pytest.raises(SemvideoError, match='diverged'):
        train.fit(make(), study, FAST.replace(validate=0, lr=1e30, projector='train', warmup=0.))

def test_not_worse_than_ridge_on_a_linear_brain(study):
    "Identification of test clips: within 2 points of the ridge it starts from."
    from semvideo.baselines import Ridge
    m = train.fit(make(), study, FAST.replace(validate=0)).module
    x,xt = (np.asarray(study.fmri(1, s)).mean(1) for s in ('train', 'test'))
    y,yt = (np.asarray(target(study, s, 'holistic')) for s in ('train', 'test'))
    ridge = Ridge().fit(x, y, study.select('train').segment.to_numpy()).predict(xt)
    score = lambda p: train.own_above_others(m.states(torch.as_tensor(p)),
                                             m.states(torch.as_tensor(yt))).mean().item()
    with torch.no_grad(): ours = score(m(torch.tensor(xt), 1))
    assert ours > .7 and ours > score(ridge)-.02

class Mine(SAD): "A decoder from outside: SAD under another name."

@pytest.fixture
def register():
    "The register of decoders, as it was before once the test is over."
    before = dict(train.DECODERS), dict(train.DECODER_CLASSES)
    yield train.register_decoder
    for now,then in zip((train.DECODERS, train.DECODER_CLASSES), before):
        now.clear()
        now.update(then)

def toy_recipe():
    "The miniature's recipe at the size of the package's toy study, one epoch a stage."
    small = train.RECIPES['miniature'].to_dict()
    small['sad'] |= TOY_SAD
    small['mad'] |= TOY_MAD
    for k in small:
        if k.endswith(('pretrain', 'tune')): small[k] |= dict(epochs=1, batch=32)
    return small

def test_a_decoder_from_outside_needs_one_registration(tmp_path, register):
    quick = FAST.replace(epochs=1, validate=0)
    register('mine', Mine, lambda study, n, model: Mine(n, sad.SAD_MINIATURE, **model),
             model=dict(TOY_SAD, level='anchor'), pretrain=quick, tune=quick)
    study = small_study(tmp_path/'study')
    train.train_study(study, 1, toy_recipe(), parts=('mine', 'sad-motion', 'sad-holistic', 'mad'),
                      seed=3)
    module = train.load(study.path/'train/sub-1/mine')
    assert type(module) is Mine and list(module.n_voxels) == [1]
    assert study.stages()['train/sub-1/mine']['config']['decoder'] == 'Mine' and study.stages(
    )['train/sub-1/mine']['config']['train']['seed'] == 3
    with pytest.raises(SemvideoError): train.decode_study(study, 1) # sad-anchor was not trained
    d = train.decode_study(study, 1, parts=('mine', 'sad-motion', 'sad-holistic', 'mad'))
    x = np.nanmean(np.asarray(study.fmri(1, 'test')), 1)
    np.testing.assert_array_equal(d.anchor, train.decode(module, x, 1, ids=study.clip_ids('test')))
    with pytest.raises(SemvideoError, match='told motion states'):
        train.decode_study(study, 1, parts=('mad', 'mine', 'sad-motion', 'sad-holistic'),
                           force=True)

def test_a_part_may_be_replaced_by_name(tmp_path, register):
    register('sad-anchor', Mine, lambda study, n, model: Mine(n, {
        **model, 'level': 'anchor'
    }), family='sad')
    study = small_study(tmp_path/'study')
    train.train_study(study, 1, toy_recipe(), parts=('sad-anchor',))
    assert type(train.load(study.path/'train/sub-1/sad-anchor')) is Mine

def test_a_decoder_that_is_not_registered_here_is_refused(tmp_path):
    torch.manual_seed(0)
    train.save(Mine({1: 20}, sad.SAD_MINIATURE, **TOY), tmp_path)
    with pytest.raises(SemvideoError, match='(?s)Unknown kind of decoder.*Mine'):
        train.load(tmp_path)

PLAIN = dict(dropout=0., mixco_until=0., lambda_refine=0.) # SAD without chance in its loss
ALL = np.ones(64, bool)
STEPS = FAST.replace(projector='train', repeats='separate', batch=16)

def weights(m): return torch.cat([p.detach().flatten().float() for p in m.parameters()])

SCRIPT = '''
import sys, torch
sys.path.insert(0, sys.argv[3])
import test_train as t
from semvideo import train
from semvideo.core import Study
torch.set_num_threads(1)
w = train.world('cpu')
m = t.make(**t.PLAIN)
data = train.training_data(Study(sys.argv[1]), m)
train.run(m, data, t.STEPS.replace(batch=8), t.ALL, w=w)
if w.rank == 0: train.save(m, sys.argv[2])
print(w.size)
'''

def test_two_processes_train_as_one_with_their_batches_joined(study, tmp_path):
    "Weights agree to 1e-5 of their norm; SoftCLIP sees the rows of both."
    import os, subprocess, sys
    from pathlib import Path
    script = tmp_path/'script.py'
    script.write_text(SCRIPT)
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', '2', '--standalone',
               str(script), str(study.path), str(tmp_path/'two'), str(Path(__file__).parent)]
    env = dict(os.environ, ACCELERATE_USE_CPU='1', OMP_NUM_THREADS='1')
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert '2' in done.stdout.split()
    one,start = make(**PLAIN),make(**PLAIN)
    train.run(one, train.training_data(study, one), STEPS, ALL)
    one,two,start = map(weights, (one, train.load(tmp_path/'two'), start))
    assert (one-two).norm() < 1e-5*one.norm() < 1e-3*(one-start).norm()

def test_pieces_of_a_step_add_up_to_the_step(study):
    def trained(accumulate):
        m = make(**PLAIN, lambda_softclip=0.)
        train.run(m, train.training_data(study, m), STEPS.replace(accumulate=accumulate), ALL)
        return weights(m)
    one,four,five = map(trained, (1, 4, 5))
    assert (one-four).norm() < 1e-5*one.norm() and (one-five).norm() < 1e-5*one.norm()
    assert not torch.equal(one, four)

@pytest.mark.parametrize('changes', [dict(precision='bf16'), dict(accumulate=3), dict(compile='aot_eager')])
def test_other_formats_train_and_resume_to_the_bit(study, tmp_path, changes):
    c = STEPS.replace(epochs=2, **changes)
    a,b,fp32 = make(),make(),make()
    data = train.training_data(study, a)
    history,_ = train.run(a, data, c, ALL, out=tmp_path/'a')
    train.run(b, data, c, ALL, out=tmp_path/'b', stop_after=1)
    fresh = make(seed=5)
    train.run(fresh, data, c, ALL, out=tmp_path/'b')
    assert same(a, fresh) and np.isfinite(history[-1]['loss'])
    train.run(fp32, data, STEPS.replace(epochs=2), ALL)
    assert changes.get('precision') != 'bf16' or not same(a, fp32)
    assert all(p.dtype == torch.float32 for p in a.parameters())

def test_a_run_in_another_format_does_not_go_on_from_a_checkpoint(study, tmp_path):
    data = train.training_data(study, make())
    train.run(make(), data, STEPS, ALL, out=tmp_path, stop_after=1)
    with pytest.raises(SemvideoError, match='another run'):
        train.run(make(), data, STEPS.replace(precision='bf16'), ALL, out=tmp_path)

def test_what_the_engine_does_not_have_is_one_error(study, monkeypatch):
    from accelerate import tracking
    monkeypatch.setattr(tracking, '_available_trackers', [])
    data = train.training_data(study, make())
    for name in ('tensorboard', 'wandb', 'trackio'):
        with pytest.raises(SemvideoError, match=f'(?s){name} is not installed.*pip install {name}'):
            train.run(make(), data, STEPS, ALL, track=name)
    for wrong,said in ((dict(precision='fp8'), 'Unknown precision'), (dict(compile='gcc'), 'torch.compile')):
        with pytest.raises(SemvideoError, match=said):
            train.run(make(), data, STEPS.replace(**wrong), ALL)

def test_a_tracker_gets_the_rows_of_the_history(study):
    from accelerate.tracking import GeneralTracker
    class Notes(GeneralTracker):
        name,requires_logging_directory = 'notes',False
        def __init__(self):
            super().__init__()
            self.rows,self.config,self.closed = [],None,False
        @property
        def tracker(self): return self.rows
        def store_init_configuration(self, values): self.config = values
        def log(self, values, step=None, **kw): self.rows.append((step, values))
        def finish(self): self.closed = True
    notes,m = Notes(),make()
    history,_ = train.run(m, train.training_data(study, m), STEPS, ALL, track=notes)
    assert notes.rows == [(r['epoch'], r) for r in history] and notes.config['batch'] == 16
    assert notes.closed

def test_no_step_asks_for_a_value(study, monkeypatch):
    "Inside a step nothing is read back from a tensor: a GPU would have to be waited for."
    from semvideo import loop
    asked,steps,item = [],[],torch.Tensor.item
    step = loop.add_gradients
    def watched(*args):
        with monkeypatch.context() as m:
            m.setattr(torch.Tensor, 'item', lambda t: asked.append('item') or item(t))
            m.setattr(torch.Tensor, '__bool__', lambda t: asked.append('bool') or item(t) != 0)
            steps.append(step(*args))
        return steps[-1]
    monkeypatch.setattr(loop, 'add_gradients', watched)
    module = make()
    train.run(module, train.training_data(study, module), STEPS, ALL)
    assert len(steps) == STEPS.epochs*2*(128//16) and not asked

@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
@pytest.mark.parametrize('precision', ['auto', 'bf16', 'tf32', 'fp32'])
def test_on_a_gpu_no_step_waits_and_a_cut_run_goes_on(study, tmp_path, monkeypatch, precision):
    from semvideo import loop
    w,c,step = train.World(device='cuda'),STEPS.replace(precision=precision),loop.add_gradients
    def watched(*args):
        torch.cuda.set_sync_debug_mode('error')
        try: return step(*args)
        finally: torch.cuda.set_sync_debug_mode('default')
    a,b = make().cuda(),make().cuda()
    data = train.training_data(study, a, device='cuda')
    train.run(a, data, c, ALL, out=tmp_path/'warm', stop_after=1, w=w) # kernels are loaded
    monkeypatch.setattr(loop, 'add_gradients', watched)
    a = make().cuda()
    history,_ = train.run(a, data, c, ALL, out=tmp_path/'a', w=w)
    train.run(b, data, c, ALL, out=tmp_path/'b', stop_after=2, w=w)
    fresh = make(seed=5).cuda()
    again,_ = train.run(fresh, data, c, ALL, out=tmp_path/'b', w=w)
    assert history[-1]['loss'] < history[0]['loss']
    np.testing.assert_allclose([r['loss'] for r in again], [r['loss'] for r in history], rtol=1e-3)

LITERAL = dict(linear_path=False, tau=(.004, .004), lambda_softclip=.5, dropout=0.)

def pulls(study, module, balance):
    "Gradient norms at the output, {loss: norm}, and that of the sum, of one step."
    from semvideo import loop
    data = train.training_data(study, module)
    rows = {s: train.row_count(x, 'average') for s,x in data.fmri.items()}
    c = FAST.replace(projector='train', repeats='average')
    with loop.watched_output(module) as seen:
        losses = train.step_loss(module, data, c, *train.batches(rows, 16, 0, 0)[0], 0.)
    if balance: losses = loop.balanced(module, losses, seen)
    one = lambda v: torch.autograd.grad(v, seen, retain_graph=True)[0].norm().item()
    return {k: v.item() for k,v in loop.loss_gradients(losses, seen).items()}, one(losses['loss'])

def test_losses_are_on_comparable_scales(study):
    "As written SoftCLIP pulls at the output far harder than the squared error; balanced, no loss does more than its weight says."
    module = make(**LITERAL)
    each,written = pulls(study, module, False)
    assert .5*each['softclip'] > 5*each['mse']
    _,balanced = pulls(study, make(**LITERAL), True)
    assert written > 3*each['mse'] and balanced <= (1+.5+.1)*each['mse']*1.001

def test_balanced_training_explains_more_than_as_written(study):
    "Held-out variance explained, not identification, shows what a contrast at tau .004 does."
    def trained(balance):
        c = STEPS.replace(epochs=30, balance=balance, repeats='average', save_every=100)
        return train.fit(make(**LITERAL), study, c).judged
    written,balanced = map(trained, (False, True))
    assert balanced['r2'] > written['r2']

def test_the_training_table_shows_more_than_identification(tmp_path):
    study = small_study(tmp_path/'study')
    table = train.train_study(study, 1, toy_recipe(), parts=('sad-motion', 'mad'))
    assert {'identification', 'r2', 'norm', 'gradients', 'on'} <= set(table)
    assert (table.on == 'training').all() and table.gradients.str.startswith(('mse', 'l1')).all()

def test_a_short_state_is_identified_and_does_not_pass():
    true = torch.randn(30, 8)
    short = train.likeness(.1*true, true, torch.zeros(1, 8))
    assert short['identification'] == 1 and short['r2'] < .2 and abs(short['norm']-.1) < 1e-5

def test_the_papers_recipe_holds_no_choice_of_ours(study):
    for name in ('paper-literal', 'paper-literal-small'):
        r = train.RECIPES[name]
        assert r.sad['standardise'] == 'none' and not r.sad['linear_path'] and r.sad['skip'] == 0
        assert tuple(r.sad['tau']) == (.004, .0075) and r.sad['lambda_softclip'] == .5 and r.sad['samples'] == 1
        assert r.mad['text_mix'] == 0 and not r.mad['linear_path'] and r.mad['standardise'] == 'none'
        for k in ('sad_pretrain', 'sad_tune', 'mad_pretrain', 'mad_tune'):
            c = getattr(r, k)
            assert c['projector'] == 'train' and not c['validate'] and not c['balance'] and not c['noise']
            assert (c['schedule'], c['batch']) == (('cosine', 96) if k[0] == 's' else ('onecycle', 20))
