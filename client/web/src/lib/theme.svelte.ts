const order = ['system', 'light', 'dark'] as const;
type Name = (typeof order)[number];

/** Light, dark or what the system says. public/theme.js applies a choice before the first paint. */
class Theme {
  name = $state<Name>((document.documentElement.dataset.theme as Name | undefined) ?? 'system');

  next() {
    this.name = order[(order.indexOf(this.name) + 1) % order.length]!;
    if (this.name === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.name;
    try {
      if (this.name === 'system') localStorage.removeItem('theme');
      else localStorage.setItem('theme', this.name);
    } catch {
      // storage is off: the choice lasts as long as the page
    }
  }
}

export const theme = new Theme();
