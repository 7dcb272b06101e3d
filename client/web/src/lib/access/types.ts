// The wire shapes of who may come in, as package importer and httpd define them.

export type Scope = 'read' | 'import' | 'write' | 'admin';

/** Who asks: what GET /api/session says. */
export type SessionState = {
  required: boolean;
  password_set: boolean;
  caller: 'anybody' | 'admin_token' | 'session' | 'token' | 'nobody';
  scope?: Scope;
  expires_at?: string;
};

/** A browser that is signed in. */
export type Session = {
  id: string;
  created_at: string;
  seen_at: string;
  expires_at: string;
  address: string;
  browser: string;
  current: boolean;
};

export type Token = {
  id: string;
  name: string;
  scope: Scope;
  hint: string; // its last characters
  created_at: string;
  last_used_at: string | null;
  expires_at: string | null;
  token?: string; // in the answer to its creation only
};
