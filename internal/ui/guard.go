package ui

import (
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"sync"
	"unicode/utf8"
)

// cookieName is the cookie of a browser that was let in. Cookies know no ports, so it names the page's, for the other pages of a machine.
func cookieName(host string) string {
	if _, port, err := net.SplitHostPort(host); err == nil {
		return "ringmaster-" + port
	}
	return "ringmaster"
}

// guard lets in who has the token, once, and after that who has the cookie that the token brought. It refuses requests that other sites
// make, and those under a name that is not the page's (DNS rebinding).
type guard struct {
	hosts   map[string]bool
	cookie  string
	session string
	cross   *http.CrossOriginProtection

	mu    *sync.Mutex
	token *string // empty: it was used
}

func newGuard(cfg Config) guard {
	token := cfg.Token
	g := guard{hosts: map[string]bool{cfg.Host: true}, cookie: cookieName(cfg.Host), session: cfg.Session, cross: http.NewCrossOriginProtection(), mu: &sync.Mutex{}, token: &token}
	if host, port, err := net.SplitHostPort(cfg.Host); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
			g.hosts[net.JoinHostPort("localhost", port)] = true
		}
	}
	return g
}

func (g *guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		switch {
		case !g.hosts[r.Host]:
			http.Error(w, "this page has another address", http.StatusMisdirectedRequest)
			return
		case g.cross.Check(r) != nil || r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.URL.Path != "/":
			http.Error(w, "requests of other sites are refused", http.StatusForbidden)
			return
		case r.Method == http.MethodGet && r.URL.Path == "/" && r.URL.RawQuery != "" && g.spend(r.URL.Query().Get("token")):
			http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			h.Set("Refresh", "0; url=/") // not a redirect: a strict cookie does not travel with one that another program began
			h.Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<!doctype html><title>Ringmaster</title><link rel="icon" href="data:,"><a href="/">Ringmaster</a>`)
			return
		case !utf8.ValidString(r.URL.Path):
			http.Error(w, "no such page", http.StatusNotFound)
			return
		case !g.knows(r):
			http.Error(w, "open the address that was printed: it works once. ringmaster ui prints another one", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// spend uses the token up, if it is the right one.
func (g *guard) spend(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if *g.token == "" || subtle.ConstantTimeCompare([]byte(*g.token), []byte(token)) != 1 {
		return false
	}
	*g.token = ""
	return true
}

func (g *guard) knows(r *http.Request) bool {
	c, err := r.Cookie(g.cookie)
	return err == nil && g.session != "" && subtle.ConstantTimeCompare([]byte(c.Value), []byte(g.session)) == 1
}
