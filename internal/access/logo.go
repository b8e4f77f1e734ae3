package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"

	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// MaxLogo is the size of a logo at most, in bytes.
	MaxLogo = 64 << 10
	// maxPixels is the width and the height of a logo at most: a browser unpacks it.
	maxPixels = 2048
)

// readLogo tells by the content of an image what it is, and what is wrong with it, "" when nothing is. What it lets
// through is one whole image and nothing else: bytes before, after or beside it could be taken for another kind of
// file.
func readLogo(content []byte) (l models.Logo, problem string) {
	if len(content) == 0 || len(content) > MaxLogo {
		return l, "must be an image of 1 byte to 64 KiB"
	}
	for _, kind := range []struct {
		mediaType string
		size      func([]byte) (image.Config, bool)
	}{{"image/png", sizeOfPNG}, {"image/jpeg", sizeOfJPEG}, {"image/webp", sizeOfWebP}} {
		size, ok := kind.size(content)
		if !ok {
			continue
		}
		if size.Width < 1 || size.Height < 1 || size.Width > maxPixels || size.Height > maxPixels {
			return l, "must have 1 to 2048 pixels on each side"
		}
		sum := sha256.Sum256(content)
		return models.Logo{Hash: hex.EncodeToString(sum[:]), MediaType: kind.mediaType, Image: content}, ""
	}
	return l, "must be one whole PNG, JPEG or WebP image"
}

// sizeOfPNG walks over the chunks: each has its checksum, IHDR is the first and IEND the last.
func sizeOfPNG(content []byte) (image.Config, bool) {
	size, err := png.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return size, false
	}
	for rest := content[8:]; len(rest) >= 12; {
		n := uint64(binary.BigEndian.Uint32(rest))
		if n > uint64(len(rest)-12) {
			return size, false
		}
		chunk, sum := rest[4:8+n], binary.BigEndian.Uint32(rest[8+n:])
		if crc32.ChecksumIEEE(chunk) != sum {
			return size, false
		}
		rest = rest[12+n:]
		if string(chunk[:4]) == "IEND" {
			return size, n == 0 && len(rest) == 0
		}
	}
	return size, false
}

func sizeOfJPEG(content []byte) (image.Config, bool) {
	size, err := jpeg.DecodeConfig(bytes.NewReader(content))
	return size, err == nil && bytes.HasSuffix(content, []byte{0xff, 0xd9})
}

// sizeOfWebP reads the first chunk, which tells the size in each of the three forms.
func sizeOfWebP(content []byte) (image.Config, bool) {
	var size image.Config
	if len(content) < 30 || string(content[:4]) != "RIFF" || string(content[8:12]) != "WEBP" ||
		uint64(binary.LittleEndian.Uint32(content[4:]))+8 != uint64(len(content)) {
		return size, false
	}
	data := content[20:]
	switch string(content[12:16]) {
	case "VP8 ": // a key frame has its start code, then 14 bits of each side
		if data[0]&1 != 0 || !bytes.Equal(data[3:6], []byte{0x9d, 0x01, 0x2a}) {
			return size, false
		}
		size.Width = int(binary.LittleEndian.Uint16(data[6:]) & 0x3fff)
		size.Height = int(binary.LittleEndian.Uint16(data[8:]) & 0x3fff)
	case "VP8L": // a signature, then 14 bits of each side less one
		bits := binary.LittleEndian.Uint32(data[1:])
		if data[0] != 0x2f || bits>>29 != 0 {
			return size, false
		}
		size.Width, size.Height = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1
	case "VP8X": // flags, then 24 bits of each side less one
		size.Width = int(uint32(data[4])|uint32(data[5])<<8|uint32(data[6])<<16) + 1
		size.Height = int(uint32(data[7])|uint32(data[8])<<8|uint32(data[9])<<16) + 1
	default:
		return size, false
	}
	return size, wholeRIFF(content)
}

// wholeRIFF reports whether the chunks fill the file.
func wholeRIFF(content []byte) bool {
	rest := content[12:]
	for len(rest) >= 8 {
		n := uint64(binary.LittleEndian.Uint32(rest[4:]))
		n += 8 + n&1 // chunks are padded
		if n > uint64(len(rest)) {
			return false
		}
		rest = rest[n:]
	}
	return len(rest) == 0
}
