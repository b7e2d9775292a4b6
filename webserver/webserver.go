// Package webserver is tier 1: the pages and the JSON API of Gatehouse over
// HTTP. It knows how people and programs ask and how they are answered. It
// does not know where accounts are kept, how a password is checked, or how
// its calls reach the tier that does: it holds a protocol.Caller, and no
// credentials of any database or cache.
package webserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"

	"gatehouse/protocol"
	"gatehouse/webserver/catalogue"
	"gatehouse/webserver/picture"
)

// Registration is who may make an account, as far as the pages show it. The
// backend decides; this is only what to offer.
type Registration string

// The kinds of registration.
const (
	RegistrationOpen   Registration = "open"   // the zero value means this too
	RegistrationClosed Registration = "closed" // no link, and a page that says so
	RegistrationInvite Registration = "invite" // the form asks for an invitation code
)

// Config is what a Server is made of. All but Backend may be left out.
type Config struct {
	// Backend answers the packets: a pool of connections to tier 2, or the
	// handlers of tier 2 themselves.
	Backend protocol.Caller

	// Pictures keeps profile pictures and Processor makes them of what
	// people upload. Without both, no pictures are taken or shown.
	Pictures  picture.Store
	Processor Processor

	// PublicURL is the scheme and host that people see, such as
	// https://login.example.org. Its scheme decides about the cookies and
	// HSTS. Nil means plain HTTP under any host.
	PublicURL *url.URL
	// OnlyPublicHost refuses requests for any host but PublicURL's. The port
	// is not compared, because proxies change it.
	OnlyPublicHost bool

	// TrustedProxies are the addresses whose X-Forwarded-For and
	// X-Request-Id are believed. None by default.
	TrustedProxies []netip.Prefix

	// Registration is what the pages offer; open by default.
	Registration Registration
	// PasswordMin is the least length of a password, in code points, that
	// the forms mention. Zero mentions none; the backend decides.
	PasswordMin int

	// Log gets one event per request. Nil discards.
	Log *slog.Logger
	// Hooks observe the server at work, for metrics.
	Hooks Hooks
}

// Server answers HTTP requests. It is safe for use by many goroutines and
// starts none of its own.
type Server struct {
	backend      protocol.Caller
	pictures     picture.Store
	processor    Processor
	public       *url.URL
	secure       bool
	onlyHost     string // without port; empty answers every host
	proxies      []netip.Prefix
	registration Registration
	passwordMin  int
	log          *slog.Logger
	hooks        Hooks

	texts   *catalogue.Catalogue
	pages   *pages
	assets  *assets
	origins *http.CrossOriginProtection
	uploads uploads
	mux     *http.ServeMux
	classes map[string]class // by pattern
	handler http.Handler
}

// New returns a Server. It fails on settings that contradict each other, and
// on embedded files that do not fit together.
func New(c Config) (*Server, error) {
	s := &Server{
		backend: c.Backend, proxies: c.TrustedProxies, public: c.PublicURL,
		registration: c.Registration, passwordMin: c.PasswordMin, log: c.Log, hooks: c.Hooks.filled(),
	}
	if c.Backend == nil {
		return nil, errors.New("make webserver: no backend to call")
	}
	if c.Pictures != nil && c.Processor != nil {
		s.pictures, s.processor = c.Pictures, c.Processor
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.setRegistration(); err != nil {
		return nil, err
	}
	if err := s.setPublic(c.OnlyPublicHost); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.mux, s.classes = s.install()
	s.handler = s.observe(s.rescue(s.guard(http.HandlerFunc(s.dispatch))))
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) setRegistration() error {
	switch s.registration {
	case "":
		s.registration = RegistrationOpen
	case RegistrationOpen, RegistrationClosed, RegistrationInvite:
	default:
		return fmt.Errorf("make webserver: registration %q is none of open, closed, invite", s.registration)
	}
	return nil
}

// setPublic draws from the public URL what follows from it.
func (s *Server) setPublic(onlyHost bool) error {
	s.origins = http.NewCrossOriginProtection()
	if s.public == nil {
		if onlyHost {
			return errors.New("make webserver: asked to answer the public URL's host only, without a public URL")
		}
		return nil
	}
	if s.public.Scheme != "http" && s.public.Scheme != "https" || s.public.Hostname() == "" {
		return fmt.Errorf("make webserver: public URL %q is not http://HOST or https://HOST", s.public.Redacted())
	}
	if s.public.Path != "" && s.public.Path != "/" {
		return fmt.Errorf("make webserver: public URL %q has a path; the service answers at the root of its host only", s.public.Redacted())
	}
	s.secure = s.public.Scheme == "https"
	if onlyHost {
		s.onlyHost = s.public.Hostname()
	}
	if err := s.origins.AddTrustedOrigin(s.public.Scheme + "://" + s.public.Host); err != nil {
		return fmt.Errorf("make webserver: trust the public URL: %w", err)
	}
	return nil
}

// load reads the embedded files.
func (s *Server) load() (err error) {
	if s.texts, err = catalogue.New(); err != nil {
		return fmt.Errorf("make webserver: %w", err)
	}
	if s.assets, err = loadAssets(); err != nil {
		return fmt.Errorf("make webserver: %w", err)
	}
	if s.pages, err = loadPages(); err != nil {
		return fmt.Errorf("make webserver: %w", err)
	}
	return nil
}
