(function () {
  'use strict';
  var calm = window.matchMedia && matchMedia('(prefers-reduced-motion: reduce)').matches, on = !calm;
  function find(q) { return document.querySelector(q); }
  function all(q) { return Array.prototype.slice.call(document.querySelectorAll(q)); }
  function start(v) { var p = v.play(); if (p && p.catch) p.catch(function () {}); }
  function flip(v) { if (v.paused) start(v); else v.pause(); }
  function make(tag, text, kind) { var e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (kind) e.className = kind; return e; }

  // every film: a click, Enter or the space bar
  var toggle = find('#toggle');
  function set(play) {
    on = play;
    all('video').forEach(function (v) { if (play) start(v); else v.pause(); });
    toggle.textContent = play ? 'Pause' : 'Play';
    toggle.setAttribute('aria-pressed', String(!play));
  }
  toggle.addEventListener('click', function () { set(!on); });
  document.addEventListener('click', function (e) { if (e.target.tagName === 'VIDEO') flip(e.target); });
  document.addEventListener('keydown', function (e) {
    if (e.target.tagName !== 'VIDEO' || (e.key !== 'Enter' && e.key !== ' ')) return;
    e.preventDefault();
    flip(e.target);
  });

  // the table of clips
  var data = JSON.parse(find('#clips-data').textContent), body = find('#clips > tbody'), size = 6;
  var state = { pick: 'all', sort: 'time', up: true, words: '', first: 0 }, tenth = Math.max(1, Math.round(data.ranked / 10));
  function value(r, key) {
    if (key === 'time') return data.rows.indexOf(r);
    if (key === 'place') return r.place;
    return r.values.length ? r.values[Number(key)] : null;
  }
  function picked(r) {
    if (state.pick === 'best') return r.place !== null && r.place <= tenth;
    if (state.pick === 'worst') return r.place !== null && r.place > data.ranked - tenth;
    return state.pick === 'all' || r.tags.indexOf(state.pick) >= 0;
  }
  function told(r) {
    if (!state.words) return true;
    var text = [r.id].concat(r.words.map(function (w) { return w[1] + ' ' + w[2]; })).join(' ').toLowerCase();
    return text.indexOf(state.words) >= 0;
  }
  function shown() {
    var key = state.sort, sign = state.up ? 1 : -1;
    return data.rows.filter(function (r) { return picked(r) && told(r); }).sort(function (a, b) {
      var x = value(a, key), y = value(b, key);
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x - y) || data.rows.indexOf(a) - data.rows.indexOf(b);
    });
  }
  function score(r) {
    if (state.sort === 'time' || state.sort === 'place') return '';
    var v = value(r, state.sort);
    return v === null ? '\u2013' : String(Math.round(v * 1000) / 1000);
  }
  // decoded words; those that the true caption has too stand out
  function decoded(words, truth) {
    var td = make('td'), have = truth.toLowerCase().match(/[^\s.,;]+/g) || [];
    words.split(/(\s+)/).forEach(function (w) {
      var bare = w.toLowerCase().replace(/[.,;]/g, '');
      td.appendChild(bare.trim() && have.indexOf(bare) >= 0 ? make('i', w) : document.createTextNode(w));
    });
    return td;
  }
  function says(r) {
    var t = make('table', undefined, 'says'), top = t.createTHead().insertRow();
    ['', 'true words', 'decoded'].forEach(function (w) { top.appendChild(make('th', w)); });
    r.words.forEach(function (w) {
      var tr = make('tr'), th = make('th', w[0]);
      th.scope = 'row';
      tr.appendChild(th);
      tr.appendChild(make('td', w[1]));
      tr.appendChild(decoded(w[2], w[1]));
      t.appendChild(tr);
    });
    return t;
  }
  function row(r) {
    var tr = make('tr'), name = make('th', undefined, 'name'), see = make('td', undefined, 'see'), read = make('td', undefined, 'read');
    var place = r.place === null ? '' : r.place + ' of ' + data.ranked, v = make('video');
    name.scope = 'row';
    name.appendChild(make('b', r.id));
    name.appendChild(make('span', r.segment + ', ' + r.second + ' s'));
    name.appendChild(make('span', r.tags.join(', ')));
    name.appendChild(make('small', (place ? 'place ' + place : '') + (score(r) ? ', score ' + score(r) : '')));
    ['muted', 'loop', 'playsInline'].forEach(function (k) { v[k] = true; });
    v.tabIndex = 0;
    v.preload = 'auto';
    v.width = 270;
    v.setAttribute('aria-label', 'Clip ' + r.id + ': shown left, reconstructed right. Enter plays or pauses.');
    v.src = r.film;
    see.appendChild(v);
    read.appendChild(says(r));
    [name, see, read, make('td', place, 'num'), make('td', score(r), 'num')].forEach(function (c) { tr.appendChild(c); });
    if (on) start(v);
    return tr;
  }
  function draw() {
    var rows = shown(), last = Math.min(state.first + size, rows.length);
    body.textContent = '';
    rows.slice(state.first, last).forEach(function (r) { body.appendChild(row(r)); });
    find('#count').textContent = rows.length ? (state.first + 1) + ' to ' + last + ' of ' + rows.length : 'no such clip';
    find('#back').disabled = state.first === 0;
    find('#more').disabled = last >= rows.length;
    find('#sort').value = state.sort;
    var other = state.sort !== 'time' && state.sort !== 'place', head = find('#metric-head');
    head.firstChild.textContent = other ? data.metrics[Number(state.sort)] : 'score';
    all('#clips > thead th').forEach(function (th) {
      var key = th === head ? (other ? state.sort : '') : th.getAttribute('data-sort');
      if (key && key === state.sort) th.setAttribute('aria-sort', state.up ? 'ascending' : 'descending');
      else th.removeAttribute('aria-sort');
    });
    all('[data-pick]').forEach(function (b) { b.setAttribute('aria-pressed', String(b.getAttribute('data-pick') === state.pick)); });
  }
  function change(key, to) { state[key] = to; state.first = 0; draw(); }
  function order(key) { state.up = state.sort === key ? !state.up : key === 'time' || key === 'place'; change('sort', key); }
  all('[data-pick]').forEach(function (b) { b.addEventListener('click', function () { change('pick', b.getAttribute('data-pick')); }); });
  all('#clips > thead [data-sort] button').forEach(function (b) { b.addEventListener('click', function () { order(b.parentNode.getAttribute('data-sort')); }); });
  find('#metric-head button').addEventListener('click', function () { order(state.sort === 'time' || state.sort === 'place' ? (data.metrics.length ? '0' : 'time') : state.sort); });
  find('#sort').addEventListener('change', function (e) { state.up = true; state.sort = ''; order(e.target.value); });
  find('#find').addEventListener('input', function (e) { change('words', e.target.value.trim().toLowerCase()); });
  find('#back').addEventListener('click', function () { state.first = Math.max(0, state.first - size); draw(); });
  find('#more').addEventListener('click', function () { state.first += size; draw(); });
  draw();
  if (calm) set(false);

  // on paper nothing is folded
  var opened = [];
  addEventListener('beforeprint', function () { opened = all('details:not([open])'); opened.forEach(function (d) { d.open = true; }); });
  addEventListener('afterprint', function () { opened.forEach(function (d) { d.open = false; }); });
})();
