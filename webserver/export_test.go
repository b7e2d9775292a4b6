package webserver

import "strings"

// Routes returns the method and path of every route.
func (s *Server) Routes() [][2]string {
	var list [][2]string
	for _, rt := range s.routes() {
		method, path, _ := strings.Cut(rt.pattern, " ")
		list = append(list, [2]string{method, path})
	}
	return list
}

// CutText is how a User-Agent is cut.
var CutText = cutText

// AssetURL returns the address of a static file.
func (s *Server) AssetURL(name string) string { return s.assets.url(name) }
