"""720_explorer, 723_brain_explorer, 724_monitor, 285_review: widgets in a real browser, by Voila and in JupyterLab; a monitor beside a training that runs.

`pip install "semvideo[notebooks]"` brings what the browser tests need; without it they are skipped. State in plain methods is tested in the notebooks and below without a browser."""
import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time

import nbformat
import numpy as np
import pytest
from browser_help import NAMELESS, browser as browser, nameless
from semvideo.core import Study
from semvideo.monitor import TrainingMonitor, checkpoint_facts, training_state
from train_help import ALL, FAST, make, study as study

pytest_plugins = ()


def begun(study, epochs=4, part='sub-1/sad-anchor'):
    return study.stage('train', dict(train=dict(epochs=epochs)), part=part, force=True)


def test_the_monitor_reads_what_a_training_writes(tmp_path):
    from train_help import toy_study
    from semvideo import train
    study = toy_study(tmp_path/'study')
    watch = TrainingMonitor(study, 1, parts=('sad-anchor',))
    assert [s['state'] for s in watch.refresh()] == ['not begun', 'not begun'] and 'Nothing is being trained' in watch.words()
    stage, m = begun(study), make()
    data = train.training_data(study, m)
    held = data.segment == 'seg3'
    train.run(m, data, FAST, ~held, held, stage.dir, stop_after=2)
    state = watch.refresh()[1]
    assert (state['state'], state['epoch'], state['epochs']) == ('training', 2, 4)
    history = checkpoint_facts(stage.dir/'checkpoint.safetensors')['history']
    assert state['losses'] == [r['loss'] for r in history] and state['checks'] == [r['val_identification'] for r in history]
    stamps = {p: p.stat().st_mtime_ns for p in study.path.rglob('*') if p.is_file()}
    watch.refresh()
    assert stamps == {p: p.stat().st_mtime_ns for p in study.path.rglob('*') if p.is_file()}, 'the monitor wrote something'


def test_the_monitor_follows_a_training_in_another_thread(tmp_path):
    from train_help import toy_study
    from semvideo import train
    from semvideo.core import write_csv
    import pandas as pd
    study = toy_study(tmp_path/'study')
    pretrain, tune, m = begun(study, part='pretrain/sad-anchor'), begun(study), make()
    for stage in (pretrain,):
        write_csv(stage.dir/'history.csv', pd.DataFrame(dict(epoch=[1], loss=[1.])))
        stage.finish([stage.dir/'history.csv'])
    data, seen = train.training_data(study, m), []

    def work():
        for k in range(1, 5):
            train.run(make(), data, FAST, ALL, None, tune.dir, stop_after=k)
            time.sleep(.2)
        write_csv(tune.dir/'history.csv', pd.DataFrame(checkpoint_facts(tune.dir/'checkpoint.safetensors')['history']))
        tune.finish([tune.dir/'history.csv'])

    async def watch():
        monitor = TrainingMonitor(study, 1, parts=('sad-anchor',))
        monitor.view.observe(lambda _: seen.append(monitor.seen[1]['epoch']), 'value')
        thread = threading.Thread(target=work)
        thread.start()
        await asyncio.wait_for(monitor.follow(.05), 60)
        thread.join()
        return monitor

    monitor = asyncio.run(watch())
    assert monitor.done and seen == sorted(seen) and len(set(seen)) >= 3 and seen[-1] == 4
    assert monitor.words() == 'All 2 parts are trained.' and not monitor.buttons['follow'].disabled


def test_stop_ends_it(tmp_path):
    from train_help import toy_study
    study = toy_study(tmp_path/'study')

    async def watch():
        monitor = TrainingMonitor(study, 1, parts=('sad-anchor',))
        task = monitor.follow(.01)
        assert monitor.follow(.01) is task and monitor.buttons['follow'].disabled
        await asyncio.sleep(.05)
        monitor.buttons['stop'].click()
        with pytest.raises(asyncio.CancelledError): await task
        return monitor

    assert asyncio.run(watch()).buttons['stop'].disabled


def test_parts_of_other_decoders_are_seen(tmp_path):
    from train_help import toy_study
    study = toy_study(tmp_path/'study')
    begun(study, part='pretrain/my-own')
    parts = [s['part'] for s in training_state(study, 1)]
    assert parts[:2] == ['pretrain/sad-anchor', 'sub-1/sad-anchor'] and parts[-2:] == ['pretrain/my-own', 'sub-1/my-own']


def test_every_control_says_what_it_is(tmp_path):
    from semvideo.explorer import Explorer
    from semvideo.review import Review, ReviewWidget
    from semvideo.sample import sample_study
    study, recon = sample_study(tmp_path/'study')
    made = [Explorer(study, 1, recon=recon), TrainingMonitor(study, 1, parts=('mad',)),
            ReviewWidget(Review(study.captions('test'), tmp_path/'r.jsonl'), frames=lambda c: study.frames('test')[0])]
    for widget in made: assert not list(nameless(widget.box)), type(widget)


def test_what_says_nothing_is_found():
    import ipywidgets as w
    from semvideo.review import titled_picture
    mute = [w.Button(icon='play'), w.Text(), w.Image(tooltip='a clip'), titled_picture(), w.IntSlider(description='clip')]
    box = w.VBox([w.HBox(mute), w.HTML('x'), w.Text(description='name'), titled_picture(tooltip='a clip')])
    assert list(nameless(box)) == mute


# in a browser

CELLS = dict(
    clips='from semvideo.report import Explorer\nExplorer(study, 1, recon=recon)',
    brain='from semvideo.brain_explorer import BrainExplorer\nBrainExplorer(study, 1, recon=recon)',
    review='from semvideo.review import Review, ReviewWidget\nReviewWidget(Review(study.captions("test"), "{folder}/reviews.jsonl"), '
           'frames=lambda c: study.frames("test")[study.clip_ids("test").index(c)])',
    monitor='from semvideo.monitor import TrainingMonitor\nTrainingMonitor(study, 1, parts=("mad",))')


@pytest.fixture(scope='module')
def notebook(tmp_path_factory):
    "A notebook with the four widgets on a made-up study."
    from semvideo.brain_page import give_brain
    from semvideo.explain import explain_study
    from semvideo.sample import sample_study
    folder = tmp_path_factory.mktemp('widgets')
    study, recon = sample_study(folder/'study')
    with pytest.MonkeyPatch.context() as m: # pictures take seconds, and no widget shows them
        m.setattr('semvideo.explain._save_map', lambda *a, **kw: [])
        m.setattr('semvideo.explain._lag_files', lambda *a: [])
        explain_study(study, 1, decoders=give_brain(study), n_decoders=49, n_null=49, occlusion=False, methods=())
    np.save(folder/'recon.npy', recon)
    first = f'import numpy as np\nfrom semvideo.core import Study\nstudy, recon = Study("{folder}/study"), np.load("{folder}/recon.npy")'
    cells = [first] + [c.format(folder=folder) for c in CELLS.values()]
    kernel = dict(kernelspec=dict(name='python3', display_name='Python 3', language='python'))
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells], metadata=kernel)
    nbformat.write(nb, folder/'widgets.ipynb')
    return folder/'widgets.ipynb'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def served(command, port, folder):
    "A server of the machine, until it answers."
    log = open(folder/'server.log', 'wb')
    server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=dict(os.environ, MPLBACKEND='agg'))
    for _ in range(300):
        if server.poll() is not None: raise AssertionError((folder/'server.log').read_text()[-2000:])
        with socket.socket() as s:
            if s.connect_ex(('127.0.0.1', port)) == 0: return server
        time.sleep(.1)
    server.terminate()
    raise AssertionError('the server does not answer')


def needs(command, name):
    if shutil.which(command) is None: pytest.skip(f'{name} is not installed: pip install "semvideo[notebooks]"')


@pytest.fixture
def voila(request):
    needs('voila', 'Voila')
    notebook, port = request.getfixturevalue('notebook'), free_port()
    command = ['voila', str(notebook), f'--port={port}', '--no-browser', '--Voila.ip=127.0.0.1', '--show_tracebacks=True']
    server = served(command, port, notebook.parent)
    yield f'http://127.0.0.1:{port}/'
    server.terminate()
    server.wait(20)


def use_all(page, folder):
    "Every widget by hand and by keyboard."
    page.get_by_role('slider').first.wait_for(timeout=90_000)
    # clips: the slider by keyboard
    page.get_by_role('slider').first.focus()
    page.keyboard.press('ArrowRight')
    page.get_by_text('test1_001').first.wait_for(timeout=20_000)
    clips = page.get_by_role('slider', name='clip', exact=True)
    assert clips.first.get_attribute('aria-valuetext') == 'test1_001'
    # brain: level, area, clip
    page.get_by_role('button', name='Motion', exact=True).click()
    page.get_by_label('area', exact=True).select_option('MT left')
    page.get_by_text('12 voxels', exact=False).wait_for(timeout=20_000)
    page.get_by_label('clips', exact=True).focus()
    page.keyboard.press('Home')
    page.get_by_text('Motion, clip test1_', exact=False).wait_for(timeout=20_000)
    assert clips.count() == 2 and page.evaluate(NAMELESS) == []
    page.evaluate("document.querySelector('.clip-slider label').remove()")
    assert ['range' in e for e in page.evaluate(NAMELESS)] == [True], 'a control that has lost its name is not found'
    # review: a verdict is in the file
    page.get_by_role('button', name='good').click()
    for _ in range(100):
        if (folder/'reviews.jsonl').is_file() and '"good"' in (folder/'reviews.jsonl').read_text(): break
        time.sleep(.1)
    assert '"good"' in (folder/'reviews.jsonl').read_text()
    # monitor: follows, and stops
    page.get_by_text('Nothing is being trained', exact=False).wait_for(timeout=20_000)
    study = Study(folder/'study')
    begun(study, 7, 'pretrain/mad')
    page.get_by_role('button', name='follow').click()
    page.get_by_text('epoch 0 of 7', exact=False).first.wait_for(timeout=20_000)
    page.get_by_role('button', name='stop').click()


@pytest.mark.slow
def test_widgets_answer_in_voila(voila, browser, notebook):
    context = browser.new_context(viewport=dict(width=1300, height=1400))
    page, said, asked = context.new_page(), [], []
    page.on('pageerror', lambda e: said.append(str(e)))
    page.on('request', lambda r: asked.append(r.url))
    page.goto(voila, timeout=120_000)
    use_all(page, notebook.parent)
    if folder := os.environ.get('SEMVIDEO_SHOTS'): page.screenshot(path=f'{folder}/voila.png', full_page=True)
    assert said == []
    # Voila's own template asks for an icon font; the widgets ask for nothing
    outside = [u for u in asked if not u.startswith((voila, voila.replace('http', 'ws'), 'data:', 'blob:'))]
    assert [u for u in outside if 'fontawesome' not in u] == []
    context.close()


@pytest.fixture
def lab(request):
    needs('jupyter-lab', 'JupyterLab')
    notebook = request.getfixturevalue('notebook')
    (notebook.parent/'reviews.jsonl').unlink(missing_ok=True)
    shutil.rmtree(notebook.parent/'study/stages/train', ignore_errors=True)
    port = free_port()
    command = ['jupyter-lab', '--no-browser', f'--ServerApp.port={port}', '--ServerApp.ip=127.0.0.1', '--IdentityProvider.token=',
               f'--ServerApp.root_dir={notebook.parent}', '--ServerApp.allow_root=True', '--LabApp.news_url=None']
    server = served(command, port, notebook.parent)
    yield f'http://127.0.0.1:{port}/lab/tree/widgets.ipynb'
    server.terminate()
    server.wait(20)


@pytest.mark.slow
def test_widgets_answer_in_jupyterlab(lab, browser, notebook):
    context = browser.new_context(viewport=dict(width=1300, height=2600))
    page, said = context.new_page(), []
    page.on('pageerror', lambda e: said.append(str(e)))
    page.goto(lab, timeout=120_000)
    page.locator('.jp-Notebook .jp-Cell').first.wait_for(timeout=90_000)
    page.get_by_text('Python 3 (ipykernel) | Idle').first.wait_for(timeout=90_000)
    page.get_by_role('menuitem', name='Run', exact=True).click()
    page.locator('.lm-Menu-itemLabel').get_by_text('Run All Cells', exact=True).click()
    use_all(page, notebook.parent)
    if folder := os.environ.get('SEMVIDEO_SHOTS'): page.screenshot(path=f'{folder}/lab.png', full_page=True)
    assert said == []
    context.close()
