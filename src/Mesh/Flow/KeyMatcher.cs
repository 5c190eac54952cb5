// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Segments;

namespace Mooncake.Mesh.Flow;

/// <summary>
/// Finds the held keys that a pattern matches, a bounded number of keys and bytes a call, so that a caller pages
/// through them.
/// </summary>
internal sealed class KeyMatcher(ObjectStore store)
{
    private const int PageObjects = 256;
    private const int MostObjects = 2048;
    private const int MostBytes = 256 * 1024;
    private KeyPattern? _last;

    public MeshResult<MatchPage> Match(in MatchRequest request)
    {
        // One pattern comes page after page: it is parsed once.
        var pattern = _last;
        if (pattern is null || pattern.Text != request.Pattern)
        {
            var parsed = KeyPattern.Parse(request.Pattern);
            if (!parsed.Succeeded)
                return parsed.Error!;
            _last = pattern = parsed.Value;
        }

        var keys = new List<MeshKey>();
        var page = new List<HeldObject>(PageObjects);
        ulong from = request.FromHash;
        int looked = 0, bytes = 0;
        while (true)
        {
            page.Clear();
            int found = store.ListRange(from, ulong.MaxValue, PageObjects, page);
            ulong last = from;
            foreach (var held in page)
            {
                // Keys of one hash are never split over pages: the next page starts at a hash.
                bool full = looked >= MostObjects || bytes >= MostBytes || keys.Count >= Wire.MaxBatch - PageObjects;
                if (full && held.Key.Hash != last)
                    return new MatchPage([.. keys], held.Key.Hash);
                last = held.Key.Hash;
                looked++;
                bytes += held.Key.Bytes.Length;
                if (pattern.IsMatch(held.Key))
                    keys.Add(held.Key);
            }

            if (found < PageObjects || last == ulong.MaxValue)
                return new MatchPage([.. keys], 0);
            from = last + 1;
        }
    }
}
