// Runs before the first paint, so that a chosen theme does not flash.
try {
  var theme = localStorage.getItem('theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch (e) { /* storage is off: follow the system */ }
