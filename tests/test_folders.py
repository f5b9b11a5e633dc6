"560_folders: folders as others leave them are scored, or refused in words."
import numpy as np, pandas as pd, pytest
from semvideo.core import SemvideoError, read_json
from semvideo import metrics as M, stats as S
from stats_help import discs, noisy
from folders_help import grid, write

def test_score_writes_everything(tmp_path):
    t = discs(12)
    p,q = write(tmp_path/'p', noisy(t), 'npy'),write(tmp_path/'t', t, 'npy')
    res = S.score(p, q, tmp_path/'o', models=None, block=2)
    assert {'results.csv', 'results.parquet', 'clips.csv', 'how.json', 'trust.html',
            'trust.json'} == {f.name
                              for f in (tmp_path/'o').iterdir()}
    assert pd.read_parquet(
        tmp_path/'o/results.parquet').metric.tolist() == res.metric.tolist() and np.allclose(
            pd.read_csv(tmp_path/'o/results.csv').value, res.value)
    assert np.allclose(
        res.set_index(['metric', 'variant']).loc[('SSIM', 'strict'), 'value'],
        M.ssim(noisy(t), t).mean())
    np.save(tmp_path/'a.npy', noisy(t))
    np.save(tmp_path/'b.npy', t)
    assert np.allclose(
        S.score(tmp_path/'a.npy', tmp_path/'b.npy', tmp_path/'o2', models=None, block=2).value,
        res.value)
    np.save(tmp_path/'f.npy', (t/255).astype(np.float32))
    assert np.allclose(
        S.score(tmp_path/'f.npy', tmp_path/'b.npy', tmp_path/'o3', models=None,
                block=2).set_index('metric').value['PSNR'], 100)

def test_score_names_bad_folders(tmp_path):
    t = discs(6)
    p,q = write(tmp_path/'p', noisy(t), 'npy'),write(tmp_path/'t', t, 'npy')
    go = lambda a=p,b=q,**k: S.score(a, b, tmp_path/'o', models=None, **k)
    (tmp_path/'e').mkdir()
    mixed = write(tmp_path/'m', t[:1], 'npy')
    write(mixed/'x', t[:1], 'png')
    (mixed/'x/test1').rename(mixed/'test9')
    (mixed/'x').rmdir()
    bgr = write(tmp_path/'bgr', noisy(t)[..., ::-1], 'npy')
    long = write(tmp_path/'long', discs(6, 9), 'npy')
    odd = write(tmp_path/'odd', t, 'npy')
    np.save(odd/'test4.npy', t[3][:4])
    broken = tmp_path/'b'
    broken.mkdir()
    (broken/'test1.mp4').write_bytes(b'not a movie')
    scaled = write(tmp_path/'s', t/127.5-1, 'npy')
    twice = write(tmp_path/'w', [grid(a, a) for a in t], 'gif', '{}-x')
    (twice/'1-y.gif').write_bytes((twice/'1-x.gif').read_bytes())
    for f, says in ((lambda: go(tmp_path/'no'), 'Nothing is here'),
                    (lambda: go(tmp_path/'e'), 'empty'), (lambda: go(mixed), 'several kinds'),
                    (lambda: go(bgr), 'swapped'), (lambda: go(long), 'number of frames'),
                    (lambda: go(odd), 'test4'), (lambda: go(broken, broken),
                                                 'Cannot read this movie'), (lambda: go(scaled),
                                                                             'value range'),
                    (lambda: go(twice, None, layout='NEURONS'),
                     'one name'), (lambda: go(p, None), 'No truth'), (lambda: go(layout='x'),
                                                                      'grid layout')):
        with pytest.raises(SemvideoError, match=says): f()
    assert np.allclose(go(bgr, channels='bgr').value,
                       go().value) and len(go(long,
                                              frames=6)) and not (tmp_path/'o'/'pred.npy').exists()

def test_rates_of_movies_and_clips_that_stand_twice(tmp_path):
    from semvideo.video import write_video
    t = discs(4, 8)
    [(tmp_path/k).mkdir() for k in 'ab']
    for i,c in enumerate(t):
        write_video(tmp_path/f'a/{i}.mp4', c, 4, crf=1)
        write_video(tmp_path/f'b/{i}.mp4', c, 8, crf=1)
    with pytest.raises(SemvideoError, match='4 and 8 frames a second'):
        S.load_pairs(tmp_path/'a', tmp_path/'b', folder=tmp_path)
    assert S.load_pairs(tmp_path/'a', tmp_path/'b', frames=8,
                        folder=tmp_path)[1].shape[0] == 4 and S.load_pairs(
                            tmp_path/'b', tmp_path/'b', folder=tmp_path)[1].shape[1] == 8
    u = t.copy()
    u[2] = u[0]
    np.save(tmp_path/'p.npy', noisy(t))
    np.save(tmp_path/'t.npy', u)
    S.score(tmp_path/'p.npy', tmp_path/'t.npy', tmp_path/'o', models=None, block=1)
    ok = {x['check']: x for x in read_json(tmp_path/'o/trust.json')['checks']}
    assert ok['reconstructions are all different']['ok'] and ok['truths are all different'][
        'ok'] is False and '0002 is the same as 0000' in ok['truths are all different']['says']

def test_score_by_the_fields_definitions_and_through_its_gif(tmp_path):
    from semvideo.cli import main
    t = discs(3, 3)
    np.save(tmp_path/'p.npy', noisy(t))
    np.save(tmp_path/'t.npy', t)
    go = lambda *a: main([
        'score',
        str(tmp_path/'p.npy'),
        str(tmp_path/'t.npy'), '--out',
        str(tmp_path/'o'), '--models', 'none', '--profile', 'paper', '--source', 'all', *a
    ])
    assert not go()
    a = pd.read_csv(tmp_path/'o/results.csv')
    assert {'SemVideo', 'MinD-Video after GIF', 'Mind-Animator after a GIF of its own',
            'NEURONS after GIF'} == set(a.variant[a.metric == 'SSIM'])
    assert not go('--no-gif')
    b = pd.read_csv(tmp_path/'o/results.csv')
    assert {'SemVideo', 'MinD-Video', 'Mind-Animator', 'NEURONS'} == set(b.variant[b.metric == 'SSIM'])

def test_one_clip_says_what_it_lacks(tmp_path, capsys):
    from semvideo.cli import main
    t = discs(1)
    np.save(tmp_path/'t.npy', t)
    np.save(tmp_path/'p.npy', noisy(t))
    assert not main(['score', str(tmp_path/'p.npy'), str(tmp_path/'t.npy'), '--models', 'none', '--out', str(tmp_path/'o')])
    assert 'one clip: no other to tell chance by' in capsys.readouterr().out and not (tmp_path/'o/trust.html').exists()

def test_the_length_of_a_segment_is_an_option(tmp_path, capsys):
    "Six stretches of four clips, as the user says; without it 24 clips are too few, and that is said once."
    from semvideo.cli import main
    t = discs(24)
    np.save(tmp_path/'t.npy', t)
    np.save(tmp_path/'p.npy', noisy(t))
    go = lambda *more: main(['score', str(tmp_path/'p.npy'), str(tmp_path/'t.npy'), '--models', 'none', '--out', str(tmp_path/'o'), *more])
    assert not go('--block', '4')
    assert 'intervals: 6 of 6 metrics have one: t over 6 stretches' in capsys.readouterr().out
    sure = S.mean_interval(M.ssim(noisy(t), t), 4)
    row = pd.read_csv(tmp_path/'o/results.csv').set_index('metric').loc['SSIM']
    assert (row.low, row.high) == (pytest.approx(sure.low), pytest.approx(sure.high))
    assert not go()
    said = capsys.readouterr().out
    assert '0 of 6 metrics have one' in said and said.count('fewer than 5 segments') == 1
    assert go('--block', '0') == 2 and 'Blocks hold no values' in capsys.readouterr().err

def test_what_is_not_as_the_source_has_it_is_named(tmp_path):
    "Judges that are not the source's by their names, and movies that last longer than its clips."
    from semvideo import folders
    from semvideo.video import write_video
    judges = M.load_models(M.random_judges(tmp_path/'judges', size=32, frames=6))
    t = discs(2, 12)
    def did(rate):
        (tmp_path/f'{rate}').mkdir()
        for i, c in enumerate(t): write_video(tmp_path/f'{rate}/{i}.mp4', c, rate, crf=1)
        told = folders._movie_rate(tmp_path/f'{rate}')
        *_, options, said = folders._as_protocol('mind-video', t, t, False, tmp_path, judges, None, told)
        return options['fps'], said[-1]
    fps, said = did(3)
    assert fps == 1.5 and said.startswith('NOT as the source: ') and 'clips of 4 s, not 2 s' in said
    assert 'judges/image_classifier' in said and 'for vit-base-patch16-224' in said and 'for videomae-base' in said
    fps, said = did(6)
    assert fps == 3 and said.startswith('NOT as the source: ') and 'clips of' not in said
    judges.nets = {part: (*net[:2], M.JUDGES_HUB[part][0].split('/')[-1]+'@0000000') for part, net in judges.nets.items()}
    assert "NOT" not in did(6.)[1]
    np.save(tmp_path/'t.npy', t)
    assert folders._movie_rate(tmp_path/'t.npy') is None
