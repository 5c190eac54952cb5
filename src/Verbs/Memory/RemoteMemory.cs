// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Memory;

/// <summary>
/// Memory of a peer. Its keys came with each queue pair, those of all regions in one list, or with the request, those
/// of all cards in one list. Immutable.
/// </summary>
internal sealed class RemoteMemory
{
    private readonly RemoteRegion _region;
    private readonly int _firstKey;
    private readonly uint[]? _keysByCard;

    /// <summary>A region that the peer announced.</summary>
    /// <param name="region">Where it lies.</param>
    /// <param name="firstKey">The place of its first part among the keys of each queue pair.</param>
    public RemoteMemory(RemoteRegion region, int firstKey)
    {
        _region = region;
        _firstKey = firstKey;
    }

    /// <summary>Memory that the peer named in a request.</summary>
    /// <param name="region">Where it lies.</param>
    /// <param name="keysByCard">Keys of its parts at each card of the peer in turn; none: no card reaches it.</param>
    public RemoteMemory(RemoteRegion region, uint[] keysByCard)
    {
        _region = region;
        _keysByCard = keysByCard;
    }

    /// <summary>The device that it lies on; empty: it is host memory, or its holder looks after it.</summary>
    public string Device { get; init; } = "";

    /// <summary>Timestamp of when the peer was asked for it.</summary>
    public long AskedAt { get; init; }

    /// <summary>Whether cards reach it at all.</summary>
    public bool IsReached => _keysByCard is not [];

    /// <summary>Length in bytes.</summary>
    public long Length => _region.Length;

    /// <summary>Bytes from an offset to the end of its part.</summary>
    public long UntilPartEnd(long offset) => _region.PartBytes - (offset % _region.PartBytes);

    /// <summary>Address of an offset in the peer's process.</summary>
    public ulong AddressOf(long offset) => _region.Address + (ulong)offset;

    /// <summary>The key for an offset over a queue pair; false: it is not reached that way.</summary>
    public bool TryKey(Endpoint endpoint, long offset, out uint key)
    {
        int part = (int)(offset / _region.PartBytes);
        uint[] keys = _keysByCard ?? endpoint.RemoteKeys;
        long place = _keysByCard is null
            ? _firstKey + part
            : (endpoint.RemoteCard * _region.Parts) + part;
        bool found = place < keys.Length;
        key = found ? keys[place] : 0;
        return found && key != 0;
    }
}
