"What the tests of files, pairs and folders share: clips written as others leave them."
import numpy as np

def grid(t, r, pad=2):
    F,H,W,_ = t.shape
    g = np.zeros((F, H+2*pad, 2*W+3*pad, 3), np.uint8)
    g[:, pad:-pad, pad:pad+W],g[:, pad:-pad, 2*pad+W:-pad] = t,r
    return g

def write(folder, clips, kind, name='test{}'):
    from PIL import Image
    folder.mkdir()
    for i,c in enumerate(clips):
        n = name.format(i+1)
        if kind == 'npy': np.save(folder/f'{n}.npy', c)
        elif kind == 'png':
            (folder/n).mkdir()
            for k,f in enumerate(c): Image.fromarray(f).save(folder/n/f'{k}.png')
        elif kind == 'gif':
            ims = [Image.fromarray(f) for f in c]
            ims[0].save(folder/f'{n}.gif', save_all=True, append_images=ims[1:], duration=300)
        else:
            from semvideo.video import write_video
            write_video(folder/f'{n}.mp4', c, 4, crf=1)
    return folder
