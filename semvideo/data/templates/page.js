(function () {
  var videos = Array.prototype.slice.call(document.querySelectorAll('video')), button = document.getElementById('toggle'), on = true;
  function set(play) { on = play; videos.forEach(function (v) { if (play) { var p = v.play(); if (p && p.catch) p.catch(function () {}); } else v.pause(); });
    button.textContent = play ? 'Pause all clips' : 'Play all clips'; button.setAttribute('aria-pressed', String(!play)); }
  button.addEventListener('click', function () { set(!on); });
  videos.forEach(function (v) { v.addEventListener('click', function () { v.paused ? v.play() : v.pause(); }); });
  if (window.matchMedia && matchMedia('(prefers-reduced-motion: reduce)').matches) set(false);
})();
