"""710_verdicts: what is not won is not said."""
import numpy as np
import page_help
import pandas as pd
import pytest
from semvideo.core import write_csv
from semvideo.report import OURS, is_rival, page_data, report_study, verdicts
from page_help import decoded_of, full, recon_of, row, study as study


def test_missing_ridge_is_said_and_few_clips_prove_nothing(study):
    full(study, noise=3.)
    assert 'Ridge regression was not run' in report_study(study, 1, recon=recon_of(study),
                                                          n=1).read_text(encoding='utf-8')
    decoded_of(study, .1).save(study.path/'decode/sub-1/test-ridge.safetensors')
    d = page_data(study, 1, recon=recon_of(study), n=1)
    assert not d['notes'], 'two dozen clips of one film are no evidence'
    assert [v['tag'] for v in d['verdicts'] if 'Identification' in v['text']] == ['too few clips']


@pytest.mark.parametrize('ours, ridge, tag', [(6., .1, 'SAD loses'), (.1, 6., 'SAD holds')])
def test_a_lost_ridge_is_on_top(tmp_path, monkeypatch, ours, ridge, tag):
    "With clips enough for an interval a decoder that is surely worse than ridge is said before all else."
    monkeypatch.setattr(page_help, 'N', 144)
    s = page_help.make_study(tmp_path/'s')
    full(s, noise=ours)
    decoded_of(s, ridge).save(s.path/'decode/sub-1/test-ridge.safetensors')
    frames = np.repeat(np.asarray(s.frames('train'))[:1], 144, 0)
    d = page_data(s, 1, recon=frames, n=1)
    assert any(v['tag'] == tag for v in d['verdicts']), [v['tag'] for v in d['verdicts']]
    said = [n['text'] for n in d['notes'] if n['kind'] == 'bad']
    assert bool(said) == (tag == 'SAD loses') and all('SAD is worse than ridge' in t for t in said)


def test_ridge_of_the_results_table_is_used_and_not_said_twice(study):
    full(study)
    r = pd.read_csv(study.path/'evaluate/sub-1/results.csv')
    t = dict(variant='motion text state', chance=.5)
    decoded_of(study, 3.).save(study.path/'decode/sub-1/test-ridge.safetensors')
    for gain, tag in ((-.2, 'SAD loses'), (.2, 'SAD holds'), (.01, 'SAD holds')):
        write_csv(
            study.path/'evaluate/sub-1/results.csv',
            pd.concat([
                r,
                pd.DataFrame([
                    row(OURS, 'Identification', .7, **t),
                    row('ridge', 'Identification', .7 - gain, gain=gain, **t)
                ])
            ]))
        d = page_data(study, 1, recon=recon_of(study), n=1)
        said = [v for v in d['verdicts'] if 'SAD' in v['tag']]
        assert [v['tag'] for v in said] == [tag] and 'motion' in said[0]['text'] and (len(
            d['notes']) == 1) == (tag == 'SAD loses')
        assert [g['name'] for g in d['metric_groups']
                ] == ['Plain questions', 'Decoded text states', 'Space and time']
        marks = [
            c['mark'] for g in d['metric_groups']
            if g['name'] == 'Decoded text states' for x in g['rows'] for c in x['cells']
        ]
        assert ('better' in marks) == (gain < -.05)


@pytest.mark.parametrize('gains,kind,says', [((.5, .3), 'good', 'beats every null'), ((.5, .02), 'bad', 'does not beat shuffled fMRI'), ((-.3, -.2), 'bad', 'does not beat mean video (60.0%) and shuffled fMRI (60.0%)')])
def test_question_verdicts(gains, kind, says):
    r = pd.DataFrame(
        [row(OURS, 'colour', .6)] +
        [row(s, 'colour', .6, gain=g) for s, g in zip(('mean video', 'shuffled fMRI'), gains)])
    v, = verdicts(r)
    assert v['kind'] == kind and says in v['text'] and '60.0%' in v['text'] and 'chance 12.5%' in v[
        'text']


def test_group_verdicts_refuse_what_is_not_won():
    rows = [row(OURS, m, .5, variant='x') for m in ('SSIM', 'PSNR', 'EPE')] + [
        row('mean video', 'SSIM', .2, variant='x', gain=.3),
        row('mean video', 'PSNR', .9, variant='x', gain=-.4),
        row('mean video', 'EPE', .1, variant='x', gain=-.4)
    ]
    pixel, time = verdicts(pd.DataFrame(rows))
    assert pixel['kind'] == 'open' and 'SSIM beats every null' in pixel[
        'text'] and 'PSNR by mean video' in pixel['text'] and time[
            'kind'] == 'bad' and 'No claim of motion' in time['text']
    assert verdicts(pd.DataFrame([row(OURS, 'kind', .5)]))[0]['kind'] == 'open'


def test_ceilings_and_rivals_are_not_nulls():
    assert is_rival('ridge') and is_rival(
        'VAE round trip') and not is_rival('shuffled fMRI') and not is_rival('random training clip')
    r = pd.DataFrame([
        row(OURS, 'kind', .6),
        row('mean video', 'kind', .1, gain=.5),
        row('VAE round trip', 'kind', .99, gain=-.39)
    ])
    assert verdicts(r)[0]['kind'] == 'good'
