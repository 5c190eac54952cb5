// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Client;
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;
using Mooncake.Mesh.Exports.Store;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Exports.Native;

/// <summary>mooncake_mesh.h: parts of objects, and chains of blocks.</summary>
internal static unsafe class RangeExports
{
    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_range_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetRangeBatch(nint mesh, byte** keys, nuint* keySizes, ulong* offsets, void** buffers,
        nuint* sizes, nuint count, long* results) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)keySizes, (nint)offsets, (nint)buffers, (nint)sizes,
                (nint)results);
            var batch = new Positions(keys, keySizes, entries, i => Offset(offsets[i])
                ?? Positions.RangeFault(buffers[i], sizes[i], "the buffer"));
            var destinations = batch.Each(i => new NativeRange((nint)buffers[i], (long)sizes[i]));
            var ranges = new ObjectRange[batch.Keys.Count];
            for (int i = 0; i < ranges.Length; i++)
                ranges[i] = new ObjectRange(batch.Keys[i], (long)offsets[batch.At(i)]);
            return session.Wait(
                cancel => session.Live.Client.TryGetRangeBatchAsync(ranges, destinations, session.Live.Gets, cancel),
                got => batch.Write(results, i => StoreObjectExports.Size(got[i])));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_match_prefix", CallConvs = [typeof(CallConvCdecl)])]
    public static long MatchPrefix(nint mesh, byte** keys, nuint* keySizes, nuint count, byte* present) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)keySizes);
            var chain = new MeshKey[entries];
            for (int i = 0; i < entries; i++)
                chain[i] = Given.Key(keys[i], keySizes[i]);
            return session.Wait(cancel => session.Live.Client.TryMatchPrefixAsync(chain, cancel), match =>
            {
                if (!match.Succeeded)
                    return ErrorCodes.Of(match.Error!);
                for (int i = 0; present is not null && i < entries; i++)
                    present[i] = match.Value.Present[i] ? (byte)1 : (byte)0;
                return match.Value.Length;
            });
        });

    /// <summary>Why this is no offset, or null.</summary>
    public static RefusedException? Offset(ulong offset) =>
        offset > long.MaxValue ? Given.Wrong($"the offset is {offset}; 0 to {long.MaxValue} are legal") : null;
}
