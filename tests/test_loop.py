"350_batches, 351_left_out, 354_loop: a run is the same however it is cut, shared or divided."
import numpy as np, pytest, torch
from semvideo import train
from train_help import FAST, study as study, make, ALL, STEPS, LITERAL

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

PLAIN = dict(dropout=0., mixco_until=0., lambda_refine=0.) # SAD without chance in its loss

def weights(m): return torch.cat([p.detach().flatten().float() for p in m.parameters()])

SCRIPT = '''
import sys, torch
sys.path.insert(0, sys.argv[3])
import test_loop as t
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
