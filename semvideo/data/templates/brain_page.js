(function () {
  'use strict';
  var data = JSON.parse(document.getElementById('data').textContent), P = data.parcels, NS = 'http://www.w3.org/2000/svg';
  var side = { L: 'left', R: 'right' }, state = { level: 0, measure: '', area: null, clip: null, cursor: null };
  var calm = window.matchMedia && matchMedia('(prefers-reduced-motion: reduce)').matches;
  function find(q) { return document.querySelector(q); }
  function all(q, from) { return Array.prototype.slice.call((from || document).querySelectorAll(q)); }
  function make(tag, text, kind) { var e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (kind) e.className = kind; return e; }
  function draw(tag, facts) { var e = document.createElementNS(NS, tag); Object.keys(facts).forEach(function (k) { e.setAttribute(k, facts[k]); }); return e; }
  function name(i) { return P[i].area + ' ' + side[P[i].side]; }
  function num(v, digits) { return v === null || v === undefined ? '\u2013' : Number(v.toPrecision(digits || 3)).toString(); }
  function level() { return data.levels[state.level]; }

  // what the map shows: of the whole film, or of one clip
  function shown() {
    var l = level();
    if (state.clip !== null && l.parts) return { values: l.parts[state.clip], high: l.part_high, both: true, unit: 'this clip\u2019s part of the agreement, 1e-4' };
    var m = l.maps[state.measure];
    return { values: m.values, high: m.high, both: m.both, unit: m.unit };
  }
  function colour(v, map) {
    var lut = map.both ? data.diverging : data.sequential, at = map.both ? (v / map.high + 1) / 2 : v / map.high;
    return lut[Math.max(0, Math.min(lut.length - 1, Math.floor(at * lut.length)))];
  }
  function significant(i) { var p = level().p; return Boolean(p && p[i] !== null && p[i] <= .05); }
  function ranked(values) { return P.map(function (p, i) { return i; }).filter(function (i) { return values[i] !== null; }).sort(function (a, b) { return values[b] - values[a]; }); }

  // the brains
  var shapes = P.map(function () { return []; }), centres = [];
  data.views.forEach(function (v) {
    var figure = make('figure', undefined, v.view), svg = draw('svg', { viewBox: [0, 0, v.width, v.height].join(' '), 'aria-hidden': 'true' });
    svg.appendChild(draw('path', { d: v.whole, 'class': 'rest', 'fill-rule': 'evenodd' }));
    v.areas.forEach(function (a) {
      var path = draw('path', { d: a[1], 'class': 'a', 'fill-rule': 'evenodd', 'data-i': a[0] });
      svg.appendChild(path);
      shapes[a[0]].push(path);
    });
    figure.appendChild(svg);
    figure.appendChild(make('figcaption', side[v.side] + ' ' + v.view));
    find('#brains').appendChild(figure);
  });
  function paint() {
    var map = shown();
    P.forEach(function (p, i) {
      var v = map.values[i];
      shapes[i].forEach(function (e) {
        e.style.fill = v === null ? 'var(--none)' : colour(v, map);
        e.setAttribute('class', 'a' + (significant(i) ? ' sig' : '') + (i === state.cursor ? ' cursor' : '') + (i === state.area ? ' chosen' : ''));
        // an outline must not lie under its neighbours
        if (i === state.area || i === state.cursor) e.parentNode.appendChild(e);
      });
    });
    find('#ramp').style.background = 'linear-gradient(90deg,' + (map.both ? data.diverging : data.sequential).join(',') + ')';
    find('#low').textContent = map.both ? num(-map.high, 2) : '0';
    find('#high').textContent = num(map.high, 2);
    find('#unit').textContent = map.unit;
  }

  // one area in words and numbers
  function numbers(i) {
    return data.levels.map(function (l) {
      var m = l.maps.agreement || l.maps[Object.keys(l.maps)[0]];
      return [l.short, m.values[i], l.p ? l.p[i] : null];
    });
  }
  function tip(i, x, y) {
    var box = find('#tip');
    box.textContent = '';
    box.appendChild(make('b', name(i) + ', ' + P[i].n + ' voxels'));
    var map = shown();
    box.appendChild(make('span', num(map.values[i]) + (state.clip === null ? '' : ' in ' + data.clips[state.clip].id) + (significant(i) ? ', significant' : '')));
    numbers(i).forEach(function (r) { box.appendChild(make('div', r[0] + ': ' + num(r[1]) + (r[2] === null ? '' : ', p = ' + num(r[2], 2)))); });
    box.hidden = false;
    var w = box.offsetWidth, h = box.offsetHeight;
    box.style.left = Math.max(4, Math.min(innerWidth - w - 4, x + 14)) + 'px';
    box.style.top = Math.max(4, y + 16 + h > innerHeight ? y - h - 10 : y + 16) + 'px';
  }
  function say() {
    var map = shown(), order = ranked(map.values), told = [];
    if (state.cursor !== null) told.push(name(state.cursor) + ': ' + num(map.values[state.cursor]) + ', ' + (order.indexOf(state.cursor) + 1) + ' of ' + order.length + (significant(state.cursor) ? ', significant' : '') + '.');
    if (state.clip !== null) told.push('The map shows clip ' + data.clips[state.clip].id + ': most in ' + order.slice(0, 3).map(name).join(', ') + '.');
    else if (state.cursor === null) told.push(level().title + ': most in ' + order.slice(0, 3).map(name).join(', ') + '.');
    find('#says').textContent = told.join(' ');
  }
  function table(head, rows) {
    var t = make('table'), top = t.createTHead().insertRow(), body = t.createTBody();
    head.forEach(function (h) { var th = make('th', h); th.scope = 'col'; top.appendChild(th); });
    rows.forEach(function (r) { var tr = body.insertRow(); r.forEach(function (c, k) { var e = make(k ? 'td' : 'th', c); if (!k) e.scope = 'row'; tr.appendChild(e); }); });
    return t;
  }
  function film(c) {
    var v = make('video');
    ['muted', 'loop', 'playsInline'].forEach(function (k) { v[k] = true; });
    v.preload = 'auto';
    v.src = c.film;
    if (!calm) { var p = v.play(); if (p && p.catch) p.catch(function () {}); }
    return v;
  }
  function card(c, value) {
    var clip = data.clips[c], b = make('button', undefined, 'card'), li = make('li');
    b.type = 'button';
    b.setAttribute('aria-pressed', String(c === state.clip));
    b.setAttribute('data-clip', c);
    b.appendChild(film(clip));
    b.appendChild(make('span', clip.id + ': ' + num(value)));
    if (clip.words.length) b.appendChild(make('span', clip.words[0][1]));
    b.addEventListener('click', function () { choose('clip', state.clip === c ? null : c); });
    li.appendChild(b);
    return li;
  }
  function cards(title, some, values) {
    var box = make('div'), list = make('ul', undefined, 'cards');
    some.forEach(function (c) { list.appendChild(card(c, values[c])); });
    box.appendChild(make('h3', title));
    box.appendChild(list);
    return box;
  }
  function area() {
    var box = find('#area'), i = state.area, l = level();
    box.textContent = '';
    find('#area-head').textContent = i === null ? 'Area' : name(i);
    if (i === null) { box.appendChild(make('p', 'No area chosen: press one on the map.', 'soft')); return; }
    var facts = [P[i].n + ' voxels'].concat(P[i].group ? [P[i].group] : []).concat(P[i].role ? ['planted: ' + P[i].role] : []);
    box.appendChild(make('p', facts.join(', ') + '.'));
    var keys = ['agreement', 'haufe', 'uses', 'loss'].filter(function (k) { return data.levels.some(function (x) { return x.maps[k]; }); });
    box.appendChild(table(['level'].concat(keys.map(function (k) { return data.names[k]; })).concat(['p']), data.levels.map(function (x) {
      return [x.short].concat(keys.map(function (k) { return x.maps[k] ? num(x.maps[k].values[i]) : '\u2013'; })).concat([x.p ? num(x.p[i], 2) : '\u2013']);
    })));
    if (!l.parts) return;
    var values = l.parts.map(function (r) { return r[i]; }), order = values.map(function (v, c) { return c; }).sort(function (a, b) { return values[b] - values[a]; });
    box.appendChild(cards('Best clips, ' + l.short, order.slice(0, 4), values));
    box.appendChild(cards('Worst clips, ' + l.short, order.slice(-4).reverse(), values));
  }

  // the film as bars, one a clip
  function brought() {
    var l = level();
    if (!l.parts) return null;
    if (state.area !== null) return l.parts.map(function (r) { return r[state.area]; });
    var some = P.map(function (p, i) { return i; }).filter(significant);
    if (!some.length) some = P.map(function (p, i) { return i; });
    return l.parts.map(function (r) { return some.reduce(function (s, i) { return s + r[i]; }, 0) / some.length; });
  }
  function time() {
    var svg = find('#time'), values = brought();
    if (!svg) return;
    svg.textContent = '';
    if (!values) return;
    var top = Math.max.apply(null, values.concat([1e-9])), low = Math.min.apply(null, values.concat([0])), n = values.length;
    svg.setAttribute('viewBox', [0, -top, n, top - low].join(' '));
    values.forEach(function (v, c) {
      svg.appendChild(draw('rect', { x: c + .08, width: .84, y: -Math.max(v, 0), height: Math.abs(v), 'class': c === state.clip ? 'now' : '' }));
    });
    svg.appendChild(draw('line', { x1: 0, x2: n, y1: 0, y2: 0 }));
    svg.setAttribute('aria-label', 'What each clip brings to ' + (state.area === null ? 'the significant areas' : name(state.area)) + ', in the order of the film');
  }
  function chips(title, some, values) {
    var box = make('div'), list = make('div', undefined, 'chips');
    some.forEach(function (i) {
      var b = make('button', name(i) + ' ');
      b.type = 'button';
      b.appendChild(make('small', num(values[i])));
      b.addEventListener('click', function () { choose('area', i); });
      list.appendChild(b);
    });
    box.appendChild(make('h3', title));
    box.appendChild(list);
    return box;
  }
  function clip() {
    var box = find('#clip'), l = level();
    if (!box) return;
    box.textContent = '';
    find('#clip-head').textContent = state.clip === null ? 'Clip' : data.clips[state.clip].id;
    if (!l.parts) { box.appendChild(make('p', 'This level was not tested clip by clip.', 'note')); return; }
    if (state.clip === null) { box.appendChild(make('p', 'No clip chosen: the map shows the whole film. Press a bar, or move the slider.', 'soft')); return; }
    var c = data.clips[state.clip], values = l.parts[state.clip], order = ranked(values), v = film(c);
    find('#at').value = state.clip;
    find('#at').setAttribute('aria-valuetext', c.id);
    v.setAttribute('aria-label', 'Clip ' + c.id + ': shown left, reconstructed right');
    box.appendChild(v);
    box.appendChild(make('p', c.segment + ', ' + c.second + ' s. Shown left, reconstructed right.', 'soft small'));
    box.appendChild(chips('Areas that carried it, ' + l.short, order.slice(0, 6), values));
    box.appendChild(chips('Areas that spoke against it', order.slice(-3).reverse().filter(function (i) { return values[i] < 0; }), values));
    if (c.words.length) box.appendChild(table(['', 'true words', 'decoded'], c.words));
  }

  function areas() {
    var map = shown(), body = find('#table > tbody'), keys = Object.keys(level().maps), head = find('#table > thead');
    head.textContent = body.textContent = '';
    var top = head.insertRow();
    ['area', 'voxels'].concat(keys.map(function (k) { return data.names[k]; })).concat(['p']).forEach(function (h) { var th = make('th', h); th.scope = 'col'; top.appendChild(th); });
    ranked(map.values).forEach(function (i) {
      var tr = body.insertRow(), th = make('th'), b = make('button', name(i));
      b.type = 'button';
      b.addEventListener('click', function () { choose('area', i); find('#area-head').scrollIntoView({ block: 'nearest' }); });
      th.scope = 'row';
      th.appendChild(b);
      tr.appendChild(th);
      [String(P[i].n)].concat(keys.map(function (k) { return num(level().maps[k].values[i]); })).concat([level().p ? num(level().p[i], 2) : '\u2013']).forEach(function (t) { tr.appendChild(make('td', t)); });
    });
  }
  function controls() {
    all('#levels button').forEach(function (b, k) { b.setAttribute('aria-pressed', String(k === state.level)); });
    var select = find('#measure'), keys = Object.keys(level().maps);
    select.textContent = '';
    keys.forEach(function (k) { var o = make('option', data.names[k]); o.value = k; select.appendChild(o); });
    if (keys.indexOf(state.measure) < 0) state.measure = keys[0];
    select.value = state.measure;
    select.disabled = state.clip !== null;
    find('#clear').disabled = state.clip === null;
  }
  function show() { controls(); paint(); say(); area(); time(); clip(); areas(); }
  function choose(what, value) { state[what] = value; show(); }

  data.levels.forEach(function (l, k) {
    var b = make('button', l.short);
    b.type = 'button';
    b.title = l.title;
    b.addEventListener('click', function () { choose('level', k); });
    find('#levels').appendChild(b);
    if (location.hash === '#' + l.key) state.level = k;
  });
  P.forEach(function (p, i) { var o = make('option'); o.value = name(i); find('#areas').appendChild(o); });
  find('#measure').addEventListener('change', function (e) { choose('measure', e.target.value); });
  find('#clear').addEventListener('click', function () { choose('clip', null); });
  find('#find').addEventListener('change', function (e) {
    var words = e.target.value.trim().toLowerCase();
    for (var i = 0; i < P.length; i++) if (name(i).toLowerCase() === words || P[i].area.toLowerCase() === words) { state.cursor = i; choose('area', i); return; }
    find('#says').textContent = words ? 'No area of that name has voxels.' : '';
  });

  // pointer
  var brains = find('#brains');
  function at(e) { var i = e.target.getAttribute && e.target.getAttribute('data-i'); return i === null || i === undefined ? null : Number(i); }
  brains.addEventListener('pointermove', function (e) { var i = at(e); if (i === null) find('#tip').hidden = true; else tip(i, e.clientX, e.clientY); });
  brains.addEventListener('pointerleave', function () { find('#tip').hidden = true; });
  brains.addEventListener('click', function (e) { var i = at(e); if (i === null) return; state.cursor = i; choose('area', i); });

  // keys: from area to area in the direction of the arrow, within the view that shows it best
  function middle(e) { var b = e.getBBox(); return { x: b.x + b.width / 2, y: b.y + b.height / 2, size: b.width * b.height }; }
  function best(i) { return shapes[i].slice().sort(function (a, b) { return middle(b).size - middle(a).size; })[0]; }
  function step(dx, dy) {
    if (state.cursor === null || !shapes[state.cursor].length) return ranked(shown().values)[0];
    var from = best(state.cursor), here = middle(from), to = state.cursor, least = Infinity;
    all('.a', from.parentNode).forEach(function (e) {
      var m = middle(e), along = (m.x - here.x) * dx + (m.y - here.y) * dy, off = Math.abs((m.x - here.x) * dy) + Math.abs((m.y - here.y) * dx);
      if (along > .5 && along + 2 * off < least) { least = along + 2 * off; to = Number(e.getAttribute('data-i')); }
    });
    if (to === state.cursor && dx) {
      // at the edge: the same area of the other hemisphere
      for (var k = 0; k < P.length; k++) if (P[k].area === P[to].area && P[k].side !== P[to].side) return k;
    }
    return to;
  }
  brains.addEventListener('keydown', function (e) {
    var order = ranked(shown().values), to = null;
    if (e.key === 'ArrowRight') to = step(1, 0);
    else if (e.key === 'ArrowLeft') to = step(-1, 0);
    else if (e.key === 'ArrowDown') to = step(0, 1);
    else if (e.key === 'ArrowUp') to = step(0, -1);
    else if (e.key === 'Home') to = order[0];
    else if (e.key === 'End') to = order[order.length - 1];
    else if ((e.key === 'Enter' || e.key === ' ') && state.cursor !== null) { e.preventDefault(); choose('area', state.cursor); return; }
    else if (e.key === 'Escape') { state.area = state.cursor = null; choose('clip', null); return; }
    if (to === null) return;
    e.preventDefault();
    state.cursor = to;
    paint();
    say();
  });

  // clips
  if (find('#time')) {
    find('#time').addEventListener('click', function (e) {
      var box = find('#time').getBoundingClientRect(), c = Math.floor((e.clientX - box.left) / box.width * data.clips.length);
      choose('clip', Math.max(0, Math.min(data.clips.length - 1, c)));
    });
    find('#at').addEventListener('input', function (e) { choose('clip', Number(e.target.value)); });
    find('#back').addEventListener('click', function () { choose('clip', Math.max(0, (state.clip === null ? 0 : state.clip) - 1)); });
    find('#on').addEventListener('click', function () { choose('clip', state.clip === null ? 0 : Math.min(data.clips.length - 1, state.clip + 1)); });
  }
  show();
})();
