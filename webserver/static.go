package webserver

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/klauspost/compress/gzhttp"
)

//go:embed static
var staticFiles embed.FS

// description is the JSON API's own description, OpenAPI 3.1.
//
//go:embed openapi.yaml
var description []byte

// shortly lets everybody keep a file whose address stays for an hour.
const shortly = "public, max-age=3600"

// contentTypes are those of the static files. They are listed here because
// what the system's table says differs from machine to machine.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	".yaml": "application/yaml; charset=utf-8",
}

// assets is the static files, each under an address with a digest of its
// content in it, so that browsers may keep it for ever.
type assets struct {
	urls     map[string]string       // by name
	files    map[string]http.Handler // by the last element of the address
	favicon  http.Handler
	describe http.Handler
}

// loadAssets reads the static files. Only these are ever compressed: in a
// page that holds both a secret and what somebody sent, the length of the
// compressed page would tell about the secret (BREACH).
func loadAssets() (*assets, error) {
	compress, err := gzhttp.NewWrapper()
	if err != nil {
		return nil, fmt.Errorf("set up compression: %w", err)
	}
	a := &assets{urls: make(map[string]string), files: make(map[string]http.Handler)}
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, fmt.Errorf("read static files: %w", err)
	}
	for _, entry := range entries {
		data, err := staticFiles.ReadFile("static/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read static files: %w", err)
		}
		name := hashedName(entry.Name(), data)
		a.urls[entry.Name()] = "/static/" + name
		a.files[name] = compress(fileHandler(entry.Name(), data, immutable))
		if entry.Name() == "icon.svg" {
			a.favicon = compress(fileHandler(entry.Name(), data, shortly))
		}
	}
	a.describe = compress(fileHandler("openapi.yaml", description, shortly))
	return a, nil
}

// hashedName puts a digest of a file's content into its name.
func hashedName(name string, data []byte) string {
	digest := sha256.Sum256(data)
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(digest[:8]) + ext
}

// fileHandler serves one file from memory.
func fileHandler(name string, data []byte, caching string) http.Handler {
	contentType := contentTypes[path.Ext(name)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", caching)
		// A client that has gone away is no failure of ours.
		_, _ = w.Write(data)
	})
}

// url returns the address of a static file. A name that is none is a mistake
// in a template, which shows as a broken link.
func (a *assets) url(name string) string { return a.urls[name] }

func (s *Server) serveAsset(w http.ResponseWriter, r *http.Request) error {
	h, ok := s.assets.files[r.PathValue("file")]
	if !ok {
		return errNoRoute
	}
	h.ServeHTTP(w, r)
	return nil
}

// serveFavicon answers browsers that look for the icon without having seen
// a page.
func (s *Server) serveFavicon(w http.ResponseWriter, r *http.Request) error {
	s.assets.favicon.ServeHTTP(w, r)
	return nil
}

func (s *Server) serveDescription(w http.ResponseWriter, r *http.Request) error {
	s.assets.describe.ServeHTTP(w, r)
	return nil
}
