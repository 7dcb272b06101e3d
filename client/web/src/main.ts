import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { imports } from './lib/imports/imports.svelte.ts';
import { live } from './lib/live/live.svelte.ts';

imports.start();
live.start();
mount(App, { target: document.getElementById('app')! });
