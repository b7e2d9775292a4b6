package backend

import (
	"context"
	"fmt"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// pictureURL is where tier 1 serves the picture of this key.
func pictureURL(key string) *string {
	if key == "" {
		return nil
	}
	url := "/pictures/" + key
	return &url
}

// pictureKey tells whether key is 64 small hexadecimal digits.
func pictureKey(key string) bool {
	if len(key) != 64 {
		return false
	}
	for _, c := range []byte(key) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}

func badPictureKey(name string) error {
	return invalid(protocol.Field{Field: name, Reason: "picture_key", Detail: "must be a picture key: 64 small hexadecimal digits"})
}

func (b *Backend) setPicture(ctx context.Context, meta protocol.Meta, req packet.SetPictureRequest) (packet.SetPictureReply, string, error) {
	if req.Picture != "" && !pictureKey(req.Picture) {
		return packet.SetPictureReply{}, "", badPictureKey("picture")
	}
	return once(ctx, b, write[packet.SetPictureReply]{typ: packet.SetPicture.Type, meta: meta, token: req.Token, body: req.Picture,
		do: func(ctx context.Context, u user.User, _ session.Session, idem func(packet.SetPictureReply) (*user.Idempotency, error)) (packet.SetPictureReply, error) {
			after := u
			after.Picture = req.Picture
			after.Version++
			rep := packet.SetPictureReply{User: view(after)}
			done, err := idem(rep)
			if err != nil {
				return rep, err
			}
			if u.Picture != req.Picture { // told once: by the time of a repetition it may be in use again
				rep.Previous = u.Picture
			}
			return rep, b.records.update(ctx, user.Change{ID: u.ID, Version: u.Version, Picture: &req.Picture, Idempotency: done})
		}})
}

func (b *Backend) picturesInUse(ctx context.Context, _ protocol.Meta, req packet.PictureKeys) (packet.PictureKeys, string, error) {
	if len(req.Keys) > packet.MaxPictureKeys {
		return packet.PictureKeys{}, "", invalid(protocol.Field{Field: "keys", Reason: "too_many",
			Detail: fmt.Sprintf("must be at most %d keys", packet.MaxPictureKeys)})
	}
	for _, key := range req.Keys {
		if !pictureKey(key) {
			return packet.PictureKeys{}, "", badPictureKey("keys")
		}
	}
	used, err := b.cfg.Users.PicturesInUse(ctx, req.Keys)
	if err != nil {
		return packet.PictureKeys{}, "", fmt.Errorf("look up %d pictures: %w", len(req.Keys), err)
	}
	return packet.PictureKeys{Keys: append([]string{}, used...)}, "", nil // a list, if an empty one
}
