// SPDX-License-Identifier: Apache-2.0

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Sessions;
using Mooncake.Mesh.Exports.Store;

namespace Mooncake.Mesh.Exports.Native;

/// <summary>mooncake_mesh.h: opening and closing, waiting, and what the library says of itself.</summary>
internal static unsafe class MeshLifeExports
{
    /// <summary>Grows when functions are added.</summary>
    private const int ApiVersion = 2;

    private static readonly nint VersionText = Marshal.StringToCoTaskMemUTF8(HostIdentity.Version);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_api_version", CallConvs = [typeof(CallConvCdecl)])]
    public static int Api() => (int)Door.Run(static () => ApiVersion);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_version", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Version()
    {
        _ = Door.Run(static () => 0);
        return VersionText;
    }

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_last_error", CallConvs = [typeof(CallConvCdecl)])]
    public static byte* Error() => LastError.PointerOrNothing();

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_open", CallConvs = [typeof(CallConvCdecl)])]
    public static long Open(byte* options, nint* mesh) => Door.Run(() =>
    {
        Given.Out(mesh, "the place of the handle");
        *mesh = 0;
        var parsed = OpenSetting.Parse(Given.Text(options, "the options"),
            OpenOptions.FromEnvironment(Environment.GetEnvironmentVariable));
        if (parsed.Fault() is { } fault)
            throw fault;
        if (OtherLibrary.Claim() is { } other)
            return Door.Fail(ErrorCodes.SecondLibrary, other);
        var session = new Session(HandleKind.Mesh);
        long opened = session.SetUp(new MeshOpener(parsed).OpenAsync);
        if (opened != ErrorCodes.Ok)
            return opened;
        *mesh = Handles.Sessions.Add(session);
        if (*mesh != 0)
            return ErrorCodes.Ok;
        _ = session.Close();
        return Door.Fail(ErrorCodes.UnavailableInCurrentStatus, $"{HandleTable<Session>.Most} handles are open");
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_close", CallConvs = [typeof(CallConvCdecl)])]
    public static long Close(nint mesh) => Door.Run(() =>
        Handles.Sessions.Find(mesh) is { Kind: HandleKind.Mesh }
            && Handles.Sessions.Remove(mesh) is { } session && session.Close()
            ? ErrorCodes.Ok
            : Door.Fail(ErrorCodes.BadHandle, $"0x{mesh:x} is no open handle of this library"));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_wait", CallConvs = [typeof(CallConvCdecl)])]
    public static long Wait(int milliseconds) => Door.Run(() => milliseconds is > 0 and <= 86_400_000
        ? OpenCall.Continue(milliseconds)
        : throw Given.Wrong($"the wait is {milliseconds} ms; 1 to 86400000 are legal"));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_cancel", CallConvs = [typeof(CallConvCdecl)])]
    public static long Cancel() => Door.Run(static () => OpenCall.Cancel());

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_set_interrupt", CallConvs = [typeof(CallConvCdecl)])]
    public static long SetInterrupt(delegate* unmanaged[Cdecl]<void*, int> check, void* context) => Door.Run(() =>
    {
        Interrupt.Set(check, context);
        return ErrorCodes.Ok;
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_health", CallConvs = [typeof(CallConvCdecl)])]
    public static long Health(nint mesh) => Door.With(mesh, HandleKind.Mesh, session => session.Wait(
        cancel => session.Live.Client.TryStatusAsync(null, cancel),
        static status => status.Succeeded ? ErrorCodes.Ok : ErrorCodes.Of(status.Error!)));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_hostname", CallConvs = [typeof(CallConvCdecl)])]
    public static long Hostname(nint mesh, byte* buffer, nuint length) =>
        Door.With(mesh, HandleKind.Mesh, session => StoreLifeExports.CopyText(session.Live.Hostname, buffer, length));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_status", CallConvs = [typeof(CallConvCdecl)])]
    public static long Status(nint mesh, byte* node, byte** json, nuint* size) =>
        Door.With(mesh, HandleKind.Mesh, session =>
        {
            NewMemory.Clear((void**)json, size);
            string? name = node is null ? null : Given.Text(node, "the node");
            if (name is not null)
                name = NodeNames.Find(session.Live, name) ?? name;
            return session.Wait(cancel => session.Live.Client.TryStatusAsync(name, cancel),
                status => status.Succeeded
                    ? NewMemory.Give(status.Value, (void**)json, size)
                    : ErrorCodes.Of(status.Error!));
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_free", CallConvs = [typeof(CallConvCdecl)])]
    public static void Free(void* memory) => LibC.free(memory);

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_register_buffer", CallConvs = [typeof(CallConvCdecl)])]
    public static long Register(nint mesh, void* buffer, nuint size) =>
        Door.With(mesh, HandleKind.Mesh, session => StoreLifeExports.Register(session, buffer, size));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_unregister_buffer", CallConvs = [typeof(CallConvCdecl)])]
    public static long Unregister(nint mesh, void* buffer) =>
        Door.With(mesh, HandleKind.Mesh, session => StoreLifeExports.Unregister(session, buffer));
}
