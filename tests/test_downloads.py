"""168_downloads: what of a download is there."""
from semvideo import datasets as D


def test_doctor_prints_the_table(cc, cc_study, hcp, tmp_path, capsys):
    from semvideo.cli import main
    rc = main(['doctor', '--root', str(cc), '--study', str(cc_study.path)])
    out = capsys.readouterr().out.splitlines()
    head = next(l for l in out if l.startswith('state '))
    assert head.split() == ['state', 'data', 'size', 'source', 'licence', 'do'
                            ] and rc == 1 and 'missing: CC2017 subject 2, seg runs' in out[-1]
    col = {k: head.index(k) for k in ('data', 'size', 'source', 'licence', 'do')}
    line = {l[col['data']:col['size']].strip(): l for l in out[out.index(head) + 1:-1]}
    x = line['CC2017 subject 1, seg runs']
    assert x[col['size']:].startswith('6 of 36') and x[col['source']:].startswith(
        'doi:10.4231/R7SF2TCW') and x[col['licence']:].startswith('CC0 1.0')
    assert line['frames, train'].startswith(
        'ok') and line['frames, train'][col['source']:].startswith('CC2017: Wen')
    # what stages made is told once, as `semvideo status` tells it
    mine = next(l for l in out if l.split()[1:2] == ['mine'])
    assert mine.startswith(
        'note'
    ) and 'not begun' in mine and 'semvideo mine --study' in mine and 'captions' not in line
    assert main(['doctor', '--root', str(hcp)
                 ]) == 0 and 'HCP data use terms' in capsys.readouterr().out
    assert main(['doctor', '--root', str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert 'ConnectomeDB' in out and 'Purdue' in out and out.rstrip().endswith(
        'missing: CC2017, HCP 7T')
    assert main(['doctor', '--root', str(hcp), '--dataset', 'cc2017'
                 ]) == 1 and capsys.readouterr().out.rstrip().endswith('missing: CC2017')


def test_doctor(cc, cc_study, hcp):
    d = D.doctor_table(cc, cc_study.path).set_index('item')
    assert list(
        D.doctor_table().columns) == ['item', 'status', 'size', 'source', 'licence', 'remedy']
    assert d.status['CC2017 movies seg1-18'] == '3 of 18' and d.status[
        'CC2017 subject 2, seg runs'] == 'missing' and d.licence[
            'CC2017 movies test1-5'] == 'CC0 1.0 for the dataset; films keep their own copyright' and d.licence[
                'CC2017 subject 3, seg runs'] == 'CC0 1.0' and d.source[
                    'CC2017 subject 1, seg runs'] == 'doi:10.4231/R7SF2TCW' and 'Purdue' in d.remedy[
                        'CC2017 subject 2, seg runs']
    assert d.status['frames, train'] == 'ok' and d.status['captions'] == 'missing' and d.remedy[
        'captions'] == 'semvideo mine' and d['size']['fMRI of subject 1, train'].endswith('kB')
    h = D.doctor_table(hcp).set_index('item')
    assert h.status['HCP 7T movies'] == 'ok' and h.status['HCP subject 100610, movie runs'] == 'ok'
    assert D.doctor_table('/nowhere/at/all').status.iloc[-1] == 'missing' and D.doctor_table(
        study='/nowhere').status.iloc[-1] == 'missing'
