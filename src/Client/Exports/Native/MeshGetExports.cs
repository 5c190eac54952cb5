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

/// <summary>mooncake_mesh.h: whole objects into memory of the caller.</summary>
internal static unsafe class MeshGetExports
{
    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_into", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetInto(nint mesh, byte* key, nuint keySize, void* buffer, nuint size) =>
        Into(mesh, key, keySize, buffer, size, null);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_into_with", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetIntoWith(nint mesh, byte* key, nuint keySize, void* buffer, nuint size,
        mooncake_mesh_get_options* options) => Into(mesh, key, keySize, buffer, size, options);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_parts", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetParts(nint mesh, byte* key, nuint keySize, void** parts, nuint* sizes, nuint count) =>
        Parts(mesh, key, keySize, parts, sizes, count, null);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_parts_with", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetPartsWith(nint mesh, byte* key, nuint keySize, void** parts, nuint* sizes, nuint count,
        mooncake_mesh_get_options* options) => Parts(mesh, key, keySize, parts, sizes, count, options);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetBatch(nint mesh, byte** keys, nuint* keySizes, void** buffers, nuint* sizes, nuint count,
        long* results) => Batch(mesh, keys, keySizes, buffers, sizes, count, null, results);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_batch_with", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetBatchWith(nint mesh, byte** keys, nuint* keySizes, void** buffers, nuint* sizes, nuint count,
        mooncake_mesh_get_options* options, long* results) =>
        Batch(mesh, keys, keySizes, buffers, sizes, count, options, results);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_parts_batch", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetPartsBatch(nint mesh, byte** keys, nuint* keySizes, void** parts, nuint* sizes,
        nuint* partCounts, nuint count, long* results) =>
        PartsBatch(mesh, keys, keySizes, parts, sizes, partCounts, count, null, results);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_parts_batch_with", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetPartsBatchWith(nint mesh, byte** keys, nuint* keySizes, void** parts, nuint* sizes,
        nuint* partCounts, nuint count, mooncake_mesh_get_options* options, long* results) =>
        PartsBatch(mesh, keys, keySizes, parts, sizes, partCounts, count, options, results);

    private static long Into(nint mesh, byte* key, nuint keySize, void* buffer, nuint size,
        mooncake_mesh_get_options* options) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            var name = Given.Key(key, keySize);
            var range = Given.Range(buffer, size, "the buffer");
            var asked = GetOptionsReader.Read(options, session.Live);
            return session.Wait(cancel => session.Live.Client.TryGetAsync(name, range, asked, cancel),
                StoreObjectExports.Size, range.Length);
        });

    private static long Parts(nint mesh, byte* key, nuint keySize, void** parts, nuint* sizes, nuint count,
        mooncake_mesh_get_options* options) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            var name = Given.Key(key, keySize);
            var pieces = PieceLists.Read(parts, sizes, Given.Count(count, (nint)parts, (nint)sizes));
            var asked = GetOptionsReader.Read(options, session.Live);
            return session.Wait(cancel => session.Live.Client.TryGetIntoAsync(name, pieces, asked, cancel),
                StoreObjectExports.Size);
        });

    private static long Batch(nint mesh, byte** keys, nuint* keySizes, void** buffers, nuint* sizes, nuint count,
        mooncake_mesh_get_options* options, long* results) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)keySizes, (nint)buffers, (nint)sizes, (nint)results);
            var asked = GetOptionsReader.Read(options, session.Live);
            var batch = new Positions(keys, keySizes, entries,
                i => Positions.RangeFault(buffers[i], sizes[i], "the buffer"));
            var destinations = batch.Each(i => new NativeRange((nint)buffers[i], (long)sizes[i]));
            return session.Wait(
                cancel => session.Live.Client.TryGetBatchAsync(batch.Keys, destinations, asked, cancel),
                got => batch.Write(results, i => StoreObjectExports.Size(got[i])));
        });

    private static long PartsBatch(nint mesh, byte** keys, nuint* keySizes, void** parts, nuint* sizes,
        nuint* partCounts, nuint count, mooncake_mesh_get_options* options, long* results) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            int entries = Given.Count(count, (nint)keys, (nint)keySizes, (nint)partCounts, (nint)results);
            var asked = GetOptionsReader.Read(options, session.Live);
            var (batch, pieces) = MeshBatchExports.Pieced(keys, keySizes, parts, sizes, partCounts, entries);
            return session.Wait(
                cancel => session.Live.Client.TryGetBatchAsync(batch.Keys, pieces, asked, cancel),
                got => batch.Write(results, i => StoreObjectExports.Size(got[i])));
        });
}
