// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Slice sums of objects that were read in part lately, so that the next part needs no call for them. A replica's
/// generation names its object for ever. Bounded; the oldest go first. Thread-safe.
/// </summary>
internal sealed class SumsCache
{
    /// <summary>Most sums kept: 4 MiB.</summary>
    private const long Most = 512 * 1024;

    private readonly Dictionary<Replica, ulong[]> _sums = [];
    private readonly Queue<Replica> _order = new();
    private long _count;

    /// <summary>The sums of the object at this place, or null.</summary>
    public ulong[]? Find(in Replica replica)
    {
        lock (_sums)
            return _sums.GetValueOrDefault(replica);
    }

    /// <summary>Keeps sums that make up the object's checksum.</summary>
    public void Add(in Replica replica, ulong[] sums)
    {
        lock (_sums)
        {
            if (!_sums.TryAdd(replica, sums))
                return;
            _order.Enqueue(replica);
            _count += sums.Length;
            while (_count > Most && _order.TryDequeue(out var oldest) && _sums.Remove(oldest, out var gone))
                _count -= gone.Length;
        }
    }
}
