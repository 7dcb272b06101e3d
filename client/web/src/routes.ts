import Activity from '@lucide/svelte/icons/activity';
import Boxes from '@lucide/svelte/icons/boxes';
import FileUp from '@lucide/svelte/icons/file-up';
import SettingsIcon from '@lucide/svelte/icons/settings';
import WebhookIcon from '@lucide/svelte/icons/webhook';
import type { Component } from 'svelte';
import ImportPage from './pages/import/ImportPage.svelte';
import ImportsPage from './pages/imports/ImportsPage.svelte';
import ProductsPage from './pages/products/ProductsPage.svelte';
import SettingsPage from './pages/settings/SettingsPage.svelte';
import StatusPage from './pages/status/StatusPage.svelte';
import WebhookPage from './pages/webhook/WebhookPage.svelte';
import EventsPage from './pages/webhooks/EventsPage.svelte';
import WebhooksPage from './pages/webhooks/WebhooksPage.svelte';

export type Route = {
  /** The address; a part that begins with a colon is a property of the page. */
  path: string;
  title: string;
  page: Component<any>; // each has properties of its own
  /** Shown in the navigation, and reached by pressing g and the key. */
  nav?: { icon: Component<{ size?: number }>; key: string };
  /** The address of the page in the navigation that this one belongs to. */
  under?: string;
};

/** Every page of the dashboard: adding one is adding a line. */
export const routes: Route[] = [
  { path: '/', title: 'Imports', page: ImportsPage, nav: { icon: FileUp, key: 'i' } },
  { path: '/imports/:id', title: 'Import', page: ImportPage, under: '/' },
  { path: '/products', title: 'Products', page: ProductsPage, nav: { icon: Boxes, key: 'p' } },
  { path: '/webhooks', title: 'Webhooks', page: WebhooksPage, nav: { icon: WebhookIcon, key: 'w' } },
  { path: '/webhooks/events', title: 'Event types', page: EventsPage, under: '/webhooks' },
  { path: '/webhooks/:id', title: 'Webhook', page: WebhookPage, under: '/webhooks' },
  { path: '/settings', title: 'Settings', page: SettingsPage, nav: { icon: SettingsIcon, key: 's' } },
  { path: '/status', title: 'Status', page: StatusPage, nav: { icon: Activity, key: 'h' } },
];

/** The page of an address, with the properties that the address holds. */
export function find(path: string): { route: Route; params: Record<string, string> } | null {
  const parts = path.split('/').filter(Boolean);
  for (const route of routes) {
    const names = route.path.split('/').filter(Boolean);
    if (names.length !== parts.length) continue;
    const fits = names.every((name, i) => name.startsWith(':') || name === parts[i]);
    if (!fits) continue;
    const params = names.flatMap((name, i) => (name.startsWith(':') ? [[name.slice(1), decodeURIComponent(parts[i]!)]] : []));
    return { route, params: Object.fromEntries(params) };
  }
  return null;
}
