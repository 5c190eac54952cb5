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

/// <summary>mooncake_mesh.h: one object at a time.</summary>
internal static unsafe class MeshObjectExports
{
    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_put", CallConvs = [typeof(CallConvCdecl)])]
    public static long Put(nint mesh, byte* key, nuint keySize, void* value, nuint size,
        mooncake_mesh_put_options* options) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            var name = Given.Key(key, keySize);
            var range = Given.Range(value, size, "the value");
            var asked = PutOptionsReader.Read(options, session.Live, 1)(0);
            return session.Wait(cancel => session.Live.Client.TryPutAsync(name, range, asked, cancel),
                StoreObjectExports.Code, range.Length);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_put_parts", CallConvs = [typeof(CallConvCdecl)])]
    public static long PutParts(nint mesh, byte* key, nuint keySize, void** parts, nuint* sizes, nuint count,
        mooncake_mesh_put_options* options) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            var name = Given.Key(key, keySize);
            var pieces = PieceLists.Read(parts, sizes, Given.Count(count, (nint)parts, (nint)sizes));
            var asked = PutOptionsReader.Read(options, session.Live, 1)(0);
            return session.Wait(cancel => session.Live.Client.TryPutAsync(name, pieces, asked, cancel),
                StoreObjectExports.Code);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get", CallConvs = [typeof(CallConvCdecl)])]
    public static long Get(nint mesh, byte* key, nuint keySize, void** data, nuint* size) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            NewMemory.Clear(data, size);
            var name = Given.Key(key, keySize);
            return session.Wait(cancel => NewObject.GetAsync(session.Live, name, cancel), got =>
            {
                if (!got.Succeeded)
                    return ErrorCodes.Of(got.Error!);
                *data = (void*)got.Value.Address;
                *size = (nuint)got.Value.Length;
                return got.Value.Length;
            });
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_get_size", CallConvs = [typeof(CallConvCdecl)])]
    public static long GetSize(nint mesh, byte* key, nuint keySize) => Door.With(mesh, HandleKind.Mesh, session =>
    {
        MeshKey[] name = [Given.Key(key, keySize)];
        return session.Wait(cancel => session.Live.Client.TryLocateBatchAsync(name, cancel),
            static found => StoreObjectExports.SizeAt(found, 0), bytes: 0);
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_exists", CallConvs = [typeof(CallConvCdecl)])]
    public static long Exists(nint mesh, byte* key, nuint keySize) => Door.With(mesh, HandleKind.Mesh, session =>
    {
        var name = Given.Key(key, keySize);
        return session.Wait(cancel => session.Live.Client.TryExistsAsync(name, cancel), StoreObjectExports.Truth,
            bytes: 0);
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_remove", CallConvs = [typeof(CallConvCdecl)])]
    public static long Remove(nint mesh, byte* key, nuint keySize) => Door.With(mesh, HandleKind.Mesh, session =>
    {
        var name = Given.Key(key, keySize);
        return session.Wait(cancel => session.Live.Client.TryRemoveAsync(name, cancel), StoreObjectExports.Removed,
            bytes: 0);
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_remove_by_regex", CallConvs = [typeof(CallConvCdecl)])]
    public static long RemoveByRegex(nint mesh, byte* pattern) => Door.With(mesh, HandleKind.Mesh,
        session => Bulk.RemoveMatching(session, Given.Text(pattern, "the pattern")));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_remove_all", CallConvs = [typeof(CallConvCdecl)])]
    public static long RemoveAll(nint mesh) => Door.With(mesh, HandleKind.Mesh, Bulk.RemoveAll);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_view_open", CallConvs = [typeof(CallConvCdecl)])]
    public static long OpenView(nint mesh, byte* key, nuint keySize, int verify, nint* view, void** data,
        nuint* size) => Door.With(mesh, HandleKind.Mesh, session =>
        {
            NewMemory.Clear(data, size);
            Given.Out(view, "the place of the view");
            *view = 0;
            var name = Given.Key(key, keySize);
            var options = new ViewOptions { Deadline = session.Live.Gets.Deadline, Verify = verify != 0 };
            return session.Wait(cancel => session.Live.Client.TryViewAsync(name, options, cancel), opened =>
            {
                if (!opened.Succeeded)
                    return ErrorCodes.Of(opened.Error!);
                *view = Handles.Views.Add(new OpenView(opened.Value, session));
                if (*view == 0)
                {
                    opened.Value.Dispose();
                    return Door.Fail(ErrorCodes.UnavailableInCurrentStatus, "too many views are open");
                }

                // The mapping stays until the view is closed, also when the handle goes first.
                session.Hold();
                *data = (void*)opened.Value.Range.Address;
                *size = (nuint)opened.Value.Size;
                return opened.Value.Size;
            });
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_view_close", CallConvs = [typeof(CallConvCdecl)])]
    public static long CloseView(nint view) => Door.Run(() =>
    {
        if (Handles.Views.Remove(view) is not { } open)
            return Door.Fail(ErrorCodes.BadHandle, $"0x{view:x} is no open view of this library");
        open.Close();
        return ErrorCodes.Ok;
    });
}
