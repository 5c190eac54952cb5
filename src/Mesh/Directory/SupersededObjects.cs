// SPDX-License-Identifier: Apache-2.0

// On the data path.
namespace Mooncake.Mesh.Directory;

/// <summary>
/// The objects that a replacement or a removal took the place of here, the last 4,096: an offer of one of them is an
/// attempt that was overtaken on its way, and must not bring the old value back over the new one. Thread-safe.
/// </summary>
internal sealed class SupersededObjects
{
    private const int Most = 4096;
    private readonly Lock _lock = new();
    private readonly HashSet<ulong> _ids = new(Most);
    private readonly ulong[] _order = new ulong[Most];
    private int _next;

    /// <summary>An object had its key and has it no longer.</summary>
    public void Note(ulong objectId)
    {
        lock (_lock)
        {
            if (!_ids.Add(objectId))
                return;
            ref ulong place = ref _order[_next++ % Most];
            _ids.Remove(place);
            place = objectId;
        }
    }

    public bool Contains(ulong objectId)
    {
        lock (_lock)
            return _ids.Contains(objectId);
    }
}
