import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { session } from './lib/access/session.svelte.ts';
import { imports } from './lib/imports/imports.svelte.ts';
import { live } from './lib/live/live.svelte.ts';

live.whenCut = () => void session.check();
let begun = false;
void session.start({
  in() {
    if (!begun) imports.start();
    begun = true;
    live.start();
  },
  out: () => live.hangUp(),
});
mount(App, { target: document.getElementById('app')! });
