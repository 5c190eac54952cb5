// SPDX-License-Identifier: Apache-2.0
using System.IO.Hashing;
using System.Text;

namespace Mooncake.Mesh;

/// <summary>
/// An object's name: 1 to 65,536 bytes, compared byte for byte (two Unicode forms of one text are two keys), with its
/// XxHash3-64, whose top bits are its slot.
/// </summary>
public readonly struct MeshKey : IEquatable<MeshKey>
{
    /// <summary>Longest key, in bytes.</summary>
    public const int MaxLength = 64 * 1024;

    /// <summary>Names <paramref name="bytes"/>; the array is kept, not copied.</summary>
    public MeshKey(byte[] bytes)
    {
        ArgumentNullException.ThrowIfNull(bytes);
        Bytes = bytes;
        Hash = HashOf(bytes);
    }

    /// <summary>A key whose hash is known.</summary>
    internal MeshKey(byte[] bytes, ulong hash)
    {
        Bytes = bytes;
        Hash = hash;
    }

    /// <summary>Names the UTF-8 bytes of <paramref name="text"/>.</summary>
    public MeshKey(string text)
        : this(Encoding.UTF8.GetBytes(text ?? throw new ArgumentNullException(nameof(text))))
    {
    }

    /// <summary>The name itself.</summary>
    public byte[] Bytes { get; }

    /// <summary>XxHash3-64 of the bytes, seed 0 (hash version 1 of a mesh's config).</summary>
    public ulong Hash { get; }

    /// <summary>XxHash3-64 of <paramref name="key"/>, seed 0.</summary>
    public static ulong HashOf(ReadOnlySpan<byte> key) => XxHash3.HashToUInt64(key);

    /// <summary>Why this is no legal key, or null.</summary>
    public MeshError? Validate() => Bytes is null or { Length: 0 }
        ? new MeshError(MeshErrorCode.InvalidKey, "key", "key is empty; a key has 1 to 65536 bytes")
        : Bytes.Length > MaxLength
            ? new MeshError(MeshErrorCode.InvalidKey, "key",
                $"key has {Bytes.Length} bytes; the limit is {MaxLength} bytes")
            : null;

    /// <inheritdoc/>
    public bool Equals(MeshKey other) => Hash == other.Hash && Bytes.AsSpan().SequenceEqual(other.Bytes);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is MeshKey other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => (int)Hash;

    /// <summary>The key as text, for logs and listings; bytes that are no UTF-8 show as U+FFFD.</summary>
    public override string ToString() => Encoding.UTF8.GetString(Bytes ?? []);

    /// <summary>Equality.</summary>
    public static bool operator ==(MeshKey left, MeshKey right) => left.Equals(right);

    /// <summary>Inequality.</summary>
    public static bool operator !=(MeshKey left, MeshKey right) => !left.Equals(right);
}
