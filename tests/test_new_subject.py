"""367_new_subject: the stage of a person nobody trained on, by every method; refined as the others err; kept, refused, forced; and what follows."""
import numpy as np, pandas as pd, pytest, shutil
from semvideo.core import SemvideoError, Study
from semvideo.new_subject import AllTargets, OthersAnswers, decode_from_others, from_others
from semvideo.posterior import scene_posterior
from semvideo.targets import LEVELS
from semvideo.toy import TOY_MAD, TOY_SAD, toy_study
from semvideo.train import RECIPES, train_without
from verbs_help import cli as cli, refuses, state

FILE = 'decode/sub-4/test.safetensors'

@pytest.fixture(scope='module')
def made(tmp_path_factory):
    s = toy_study(tmp_path_factory.mktemp('people')/'study', voxels=(60, 70, 80, 50), areas=12)
    for split in s.splits:
        clips = s.clip_ids(split)
        s.save_captions(split, pd.DataFrame({'clip_id': clips, **{k: [f'what {c} shows' for c in clips]
                                                                  for k in ('basic', *LEVELS)}}))
    return s

@pytest.fixture
def study(made, tmp_path):
    shutil.copytree(made.path, tmp_path/'s')
    return Study(tmp_path/'s')

def identified(decoded, study, field):
    "Share of other clips less like the decoded than its own."
    true = np.asarray(np.load(study.path/f'targets/test/{field}.npy'), float).reshape(30, -1)
    got = getattr(decoded, field).reshape(30, -1) - true.mean(0)
    r = np.corrcoef(got, true - true.mean(0))[:30, 30:]
    return (r.diagonal()[:, None] > r).sum()/(30*29)

def test_four_fields_without_own_data_are_above_what_permuted_learns(study):
    got = decode_from_others(study, 4)
    null = decode_from_others(study, 4, method='permuted', force=True)
    for field in (*LEVELS, 'latents'):
        assert identified(got, study, field) > .85 > .65 > identified(null, study, field), field

def test_own_minutes_help_and_no_scan_is_needed_without(study):
    with_own, none = (decode_from_others(study, 4, minutes=m, method='ridge' if m else None, force=True) for m in (2, 0))
    assert identified(with_own, study, 'holistic') > identified(none, study, 'holistic')
    (study.path/'fmri/sub-4/train.npy').unlink()
    again = decode_from_others(study, 4, refine='scenes', force=True)
    assert np.array_equal(Study(study.path).settings_of('decode/sub-4/test')['from_others']['others'], [1, 2, 3])
    assert len(again) == 30
    with pytest.raises(SemvideoError, match='has no training data'): decode_from_others(study, 4, minutes=2, force=True)

def test_the_others_are_read_on_films_nobody_was_fitted_on(study, monkeypatch):
    "Scrambled answers make the posterior unsure; the rows are those of the clips."
    y, how = AllTargets(study), from_others(study, 4, 2)
    answers, seen = OthersAnswers(study, how, y), []
    import semvideo.new_subject as room
    reader = room.new_subject_reader
    def spy(study, subject, method, rest, rows, y, space, clips):
        seen.append((subject, rest, rows, clips))
        return reader(study, subject, method, rest, rows, y, space, clips)
    monkeypatch.setattr(room, 'new_subject_reader', spy)
    posterior = scene_posterior(study, 4, answers=answers)
    assert len(seen) == 3*4 and all(4 not in rest and s not in rest for s,rest,*_ in seen)
    assert all(clips[rows].all() and len(rows) == 60 and clips.sum() == 90 for *_,rows,clips in seen)
    rows = posterior.posteriors['holistic'].left_out_rows
    assert np.array_equal(np.bincount(rows), [3]*120)
    from semvideo.decoding_error import principal_axes
    axes = principal_axes(np.load(study.path/'targets/train/holistic.npy'), 5)
    found, rows = answers('holistic', axes, None)
    true = axes.transform(np.load(study.path/'targets/train/holistic.npy').reshape(120, -1))[rows]
    assert np.corrcoef(found[:, 0], true[:, 0])[0, 1] > .5
    assert abs(np.corrcoef(found[:, 0], true[::-1, 0])[0, 1]) < .3

def small():
    r = RECIPES['miniature'].to_dict()
    r['sad'] |= TOY_SAD
    r['mad'] |= TOY_MAD
    for k in r:
        if k.endswith(('pretrain', 'tune')): r[k] |= dict(epochs=1, batch=32)
    return r

def test_a_projector_on_decoders_that_never_saw_the_person(study):
    with pytest.raises(SemvideoError, match='no sad-anchor, sad-motion, sad-holistic, mad without subject 4'):
        decode_from_others(study, 4, minutes=2, method='projector')
    train_without(study, 4, small())
    assert study.settings_of('train/without-4/mad')['subjects'] == [1, 2, 3]
    got = decode_from_others(study, 4, minutes=2, method='projector')
    assert all(identified(got, study, f) > .8 for f in ('motion', 'holistic', 'latents'))
    told = decode_from_others(study, 4, minutes=2, method='projector', refine='captions', force=True)
    assert not np.array_equal(told.latents, got.latents), 'MAD is told the refined motion states'
    with pytest.raises(SemvideoError, match='trained on others than these'):
        decode_from_others(study, 4, minutes=2, method='projector', others=[1, 2], force=True)
    record = study.stages()['decode/sub-4/test']
    assert 'train/without-4/mad' in record['needs']

def test_the_command_keeps_refuses_forces_and_loses_nothing(study, cli):
    words = ('decode', '--study', study.path, '--subject', 4, '--from-others', '--quiet')
    rc, out, _ = cli(*words, '--minutes', 2, '--dry-run')
    assert rc == 0 and 'decode/sub-4/test: make' in out and not (study.path/FILE).exists()
    assert cli(*words)[0] == 0
    before = state(study.path)
    assert cli(*words)[0] == 0 and state(study.path) == before
    refuses(cli, *words, '--minutes', 2, says='other settings')
    for more, says in ((('--minutes', 9), 'fewer minutes'), (('--minutes', 2, '--method', 'projector'), 'train --without 4'),
                       (('--minutes', 2, '--method', 'anatomical'), 'uses no own data'), (('--method', 'own'), 'needs own'),
                       (('--others', 4), 'Nobody to learn from'), (('--others', 1, '--refine', 'captions'), 'two others'),
                       (('--parts', 'mad'), 'do not go together'), (('--space', 'vertex', '--repeats', 40), '1 to 10')):
        refuses(cli, *words, *more, '--force', says=says)
        assert state(study.path) == before, more
    refuses(cli, 'decode', '--study', study.path, '--subject', 4, '--minutes', 2, says='goes with --from-others')
    refuses(cli, 'train', '--study', study.path, '--subject', 1, '--without', 4, says='do not go together')
    assert cli(*words, '--minutes', 2, '--force')[0] == 0
    assert state(study.path)[FILE] != before[FILE]
    assert cli('undo', '--study', study.path)[0] == 0 and state(study.path)[FILE] == before[FILE]

def test_a_run_that_was_cut_ends_with_the_same_bytes(study, monkeypatch):
    import semvideo.new_subject as room
    decode_from_others(study, 4, refine='captions')
    want = (study.path/FILE).read_bytes(), (study.path/'decode/sub-4/test-captions.csv').read_bytes()
    cut = lambda *a: (_ for _ in ()).throw(KeyboardInterrupt())
    monkeypatch.setattr(room, 'keep_decoded', cut)
    with pytest.raises(KeyboardInterrupt): decode_from_others(study, 4, refine='captions', force=True)
    monkeypatch.undo()
    decode_from_others(study, 4, refine='captions')
    assert want == ((study.path/FILE).read_bytes(), (study.path/'decode/sub-4/test-captions.csv').read_bytes())

def test_unseen_test_clips_and_people_without_common_areas(study):
    x = np.array(study.fmri(4, 'test'))
    x[3] = np.nan
    study.save_fmri(4, 'test', x)
    with pytest.raises(SemvideoError, match='1 of 30 without a repeat'): decode_from_others(study, 4)
    study.save_voxels(3, study.voxels(3).assign(parcel=''))
    with pytest.raises(SemvideoError, match='share no parcel'): decode_from_others(study, 3)

def test_it_is_decoded_again_as_it_was_with_a_level_untold(study, monkeypatch):
    "What the order of frames and an ablation ask of a study, with the choices of its stage."
    from semvideo.ablation import branch_study, decode_as
    import semvideo.new_subject as room
    got = decode_from_others(study, 4, minutes=2, others=[1, 2])
    monkeypatch.setattr(room, 'empty_states', lambda study, level, n: np.zeros((n, 7, 16), np.float32))
    own = branch_study(study, study.path/'other', ('targets',))
    untold = decode_as(own, study, 4, 'test', untold='motion')
    assert not untold.motion.any() and np.array_equal(untold.holistic, got.holistic)
    settings = own.settings_of('decode/sub-4/test')
    assert settings.pop('untold') == 'motion' and settings == study.settings_of('decode/sub-4/test')
