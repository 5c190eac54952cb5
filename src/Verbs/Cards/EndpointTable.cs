// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Verbs.Queues;
using Mooncake.Mesh.Verbs.Transfers;

namespace Mooncake.Mesh.Verbs.Cards;

/// <summary>
/// The queue pairs of a card by the work ids of their slices. An id is never used twice, so that a completion that was
/// left behind by an ended queue pair finds nobody. Changed under a lock of the caller's, read without.
/// </summary>
internal sealed class EndpointTable(int most)
{
    /// <summary>Most queue pairs of one card.</summary>
    public const int Most = 1024;

    private const int SlotBits = 16;
    private const int PlaceBits = 16;

    private readonly Endpoint?[] _endpoints = new Endpoint?[most];
    private readonly uint[] _lives = new uint[most];
    private int _count;

    /// <summary>Whether one more fits.</summary>
    public bool HasRoom => _count < most;

    /// <summary>Takes in a new one; ended at once when it cannot be made.</summary>
    public Endpoint Add(QueuePair pair, Func<ulong, Endpoint> make)
    {
        int place = Array.IndexOf(_endpoints, null);
        Endpoint endpoint;
        try
        {
            endpoint = make(((ulong)++_lives[place] << (SlotBits + PlaceBits)) | ((ulong)place << SlotBits));
        }
        catch
        {
            pair.Dispose();
            throw;
        }

        Volatile.Write(ref _endpoints[place], endpoint);
        _count++;
        return endpoint;
    }

    /// <summary>Forgets one.</summary>
    public void Remove(Endpoint endpoint)
    {
        int place = PlaceOf(endpoint.Id);
        if (_endpoints[place] != endpoint)
            return;
        Volatile.Write(ref _endpoints[place], null);
        _count--;
    }

    /// <summary>Whose slice has this work id, and which of its slices it is; null: one that has ended.</summary>
    public Endpoint? Find(ulong workId, out int slot)
    {
        slot = (int)(workId & ((1 << SlotBits) - 1));
        int place = PlaceOf(workId);
        var endpoint = place < _endpoints.Length ? Volatile.Read(ref _endpoints[place]) : null;
        return endpoint is not null && endpoint.Id == workId - (ulong)slot ? endpoint : null;
    }

    private static int PlaceOf(ulong id) => (int)((id >> SlotBits) & ((1 << PlaceBits) - 1));
}
