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
    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_range", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetRange(nint mesh, byte* key, nuint keySize, ulong offset, void* buffer, nuint size) =>
        Range(mesh, key, keySize, offset, buffer, size, null);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_range_with", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetRangeWith(nint mesh, byte* key, nuint keySize, ulong offset, void* buffer, nuint size,
        mooncake_mesh_get_options* options) => Range(mesh, key, keySize, offset, buffer, size, options);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_range_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetRangeBatch(nint mesh, byte** keys, nuint* keySizes, ulong* offsets, void** buffers,
        nuint* sizes, nuint count, long* results) =>
        Batch(mesh, keys, keySizes, offsets, buffers, sizes, count, null, results);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_range_batch_with", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetRangeBatchWith(nint mesh, byte** keys, nuint* keySizes, ulong* offsets, void** buffers,
        nuint* sizes, nuint count, mooncake_mesh_get_options* options, long* results) =>
        Batch(mesh, keys, keySizes, offsets, buffers, sizes, count, options, results);

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

    private static long Range(nint mesh, byte* key, nuint keySize, ulong offset, void* buffer, nuint size,
        mooncake_mesh_get_options* options) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            var name = Given.Key(key, keySize);
            var range = Given.Range(buffer, size, "the buffer");
            var asked = GetOptionsReader.Read(options, session.Live);
            long from = Offset(offset) is { } fault ? throw fault : (long)offset;
            return session.Wait(cancel => session.Live.Client.TryGetRangeAsync(name, from, range, asked, cancel),
                StoreObjectExports.Size);
        });

    private static long Batch(nint mesh, byte** keys, nuint* keySizes, ulong* offsets, void** buffers, nuint* sizes,
        nuint count, mooncake_mesh_get_options* options, long* results) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)keySizes, (nint)offsets, (nint)buffers, (nint)sizes,
                (nint)results);
            var asked = GetOptionsReader.Read(options, session.Live);
            var batch = new Positions(keys, keySizes, entries, i => Offset(offsets[i])
                ?? Positions.RangeFault(buffers[i], sizes[i], "the buffer"));
            var destinations = batch.Each(i => new NativeRange((nint)buffers[i], (long)sizes[i]));
            var ranges = new ObjectRange[batch.Keys.Count];
            for (int i = 0; i < ranges.Length; i++)
                ranges[i] = new ObjectRange(batch.Keys[i], (long)offsets[batch.At(i)]);
            return session.Wait(
                cancel => session.Live.Client.TryGetRangeBatchAsync(ranges, destinations, asked, cancel),
                got => batch.Write(results, i => StoreObjectExports.Size(got[i])));
        });

    /// <summary>Why this is no offset, or null.</summary>
    private static RefusedException? Offset(ulong offset) =>
        offset > long.MaxValue ? Given.Wrong($"the offset is {offset}; 0 to {long.MaxValue} are legal") : null;
}
