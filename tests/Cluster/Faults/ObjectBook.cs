// SPDX-License-Identifier: Apache-2.0

using System.Buffers.Binary;

namespace Mooncake.Mesh.Cluster.Faults;

/// <summary>What is known of one key by the one client that writes it. Guarded by its own lock.</summary>
internal sealed class KnownObject(string name)
{
    private NodeLife[] _holders = [];
    private long _since = long.MaxValue;
    private bool _writing;
    private int _changes;

    public string Name => name;

    public MeshKey Key { get; } = new(name);

    /// <summary>A write is about to be made: until it is known how it ended, nothing is expected.</summary>
    public void Begin()
    {
        lock (this)
        {
            _writing = true;
            _changes++;
        }
    }

    /// <summary>The write was acknowledged; these had the bytes then, all the time since the put began.</summary>
    public void Written(NodeLife[] holders, long now) => End(holders, now);

    /// <summary>The object was removed, or nobody knows how the write ended.</summary>
    public void Forget() => End([], long.MaxValue);

    /// <summary>What to hand to <see cref="WasHeld"/> after a call that starts now.</summary>
    public int Look()
    {
        lock (this)
            return _writing ? -1 : _changes;
    }

    /// <summary>
    /// Whether one and the same process held the bytes of an acknowledged put, nothing was written, and that process
    /// could be reached, from before the start of a call until after its end.
    /// </summary>
    public bool WasHeld(int look, long start, long end)
    {
        lock (this)
            return !_writing && look == _changes && _since < start && _holders.Any(h => h.Lived(start, end));
    }

    private void End(NodeLife[] holders, long since)
    {
        lock (this)
        {
            _holders = holders;
            _since = since;
            _writing = false;
            _changes++;
        }
    }
}

/// <summary>The bytes of a value: its identity, then what follows from it and the key: every byte counts.</summary>
internal static class Values
{
    /// <summary>A value from 16 bytes on.</summary>
    public static byte[] Of(in MeshKey key, ulong identity, int size)
    {
        byte[] bytes = new byte[size];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, identity);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(8), size);
        new Random((int)(key.Hash ^ identity)).NextBytes(bytes.AsSpan(16));
        return bytes;
    }

    /// <summary>Which value these bytes are; <see cref="Tests.Shared.CallRecord.Torn"/>: none.</summary>
    public static ulong IdentityOf(in MeshKey key, byte[] bytes)
    {
        if (bytes.Length < 16 || BinaryPrimitives.ReadInt64LittleEndian(bytes.AsSpan(8)) != bytes.Length)
            return Tests.Shared.CallRecord.Torn;
        ulong identity = BinaryPrimitives.ReadUInt64LittleEndian(bytes);
        return bytes.AsSpan().SequenceEqual(Of(key, identity, bytes.Length))
            ? identity
            : Tests.Shared.CallRecord.Torn;
    }
}
